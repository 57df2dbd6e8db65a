// The other drawings of the edges that are shown; a click on any of them chooses an edge.
const SHADES = 10;
const SIDES = { a: "#0072B2", b: "#D55E00" };

// The largest change over inputs of every pair of components shown.
function cellsOf() {
  const { edges } = state.diff;
  const largest = new Map();
  for (const i of state.shown) {
    const key = edges.source[i] * state.diff.nodes.name.length + edges.target[i];
    const before = largest.get(key);
    if (before === undefined || Math.abs(edges.delta[i]) > Math.abs(edges.delta[before])) largest.set(key, i);
  }
  const members = [...largest.values()];
  const ends = (end) => [...new Set(members.map((i) => edges[end][i]))].sort((x, y) => x - y);
  const [senders, receivers] = [ends("source"), ends("target")];
  const [row, column] = [senders, receivers].map((list) => new Map(list.map((end, at) => [end, at])));
  const place = (i) => [column.get(edges.target[i]), row.get(edges.source[i])];
  return { members, senders, receivers, place, at: new Map(members.map((i) => [place(i).join(), i])) };
}

function shadeGroups(members) {
  const { delta } = state.diff.edges;
  const top = Math.max(1e-12, ...state.shown.slice(0, 1).map((i) => Math.abs(delta[i])));
  const shade = (i) => Math.sign(delta[i]) * Math.max(1, Math.ceil(SHADES * Math.abs(delta[i] || 0) / top));
  return [...groupedBy(members, shade)].map(([name, some]) => ({ shade: name, members: some }));
}

function cellSeries(id, cells, groups, look) {
  return groupSeries(id, groups, (group, api) => {
    const [width, height] = api.size([1, 1]).map((size) => Math.max(1, size));
    const path = group.members.map((i) => { const [x, y] = api.coord(cells.place(i)); return `M${(x - width / 2).toFixed(1)} ${(y - height / 2).toFixed(1)}h${width.toFixed(1)}v${height.toFixed(1)}h-${width.toFixed(1)}z`; }).join("");
    return { type: "path", shape: { pathData: path }, style: look(group) };
  });
}

function chosenCell(cells) {
  const known = state.chosen !== null && cells.place(state.chosen).every((at) => at !== undefined);
  return cellSeries("chosen", cells, known ? [{ members: [state.chosen] }] : [], () => ({ fill: "none", stroke: style("--ink"), lineWidth: 3 }));
}

function heatOption() {
  const cells = cellsOf();
  const names = (list) => list.map((end) => short(state.diff.nodes.name[end], 10));
  const shade = ({ shade }) => ({ fill: shade < 0 ? SIDES.b : SIDES.a, opacity: 0.15 + 0.85 * Math.abs(shade) / SHADES });
  const option = {
    grid: { left: 70, right: 12, top: 8, bottom: 78 },
    xAxis: axis("receiver", { type: "category", data: names(cells.receivers), axisLabel: { rotate: 90, color: style("--soft"), fontSize: 10 }, nameGap: 52 }),
    yAxis: axis("", { type: "category", data: names(cells.senders), axisLabel: { color: style("--soft"), fontSize: 10 } }),
    series: [cellSeries("cells", cells, shadeGroups(cells.members), shade), chosenCell(cells)],
  };
  const caption = `Rows send, columns receive; colour: ${state.diff.heads.delta} (orange below 0, blue above), the largest over inputs. ${cells.members.length} cells, from ${state.shown.length} of ${state.diff.total} edges.`;
  const near = (x, y) => {
    const { drawn } = figures.heat;
    if (!drawn.containPixel({ gridIndex: 0 }, [x, y])) return null;
    return cells.at.get(drawn.convertFromPixel({ gridIndex: 0 }, [x, y]).join()) ?? null;
  };
  return { option, caption, near, chosen: () => [chosenCell(cells)] };
}

const HIGHEST = 50;

function volcanoPoint(i) {
  const { edges } = state.diff;
  return [edges.delta[i], Math.min(HIGHEST, -Math.log10(Math.max(edges.p[i], 1e-300)))];
}

function chosenPoint() {
  const known = state.chosen !== null && state.diff.edges.p[state.chosen] !== null;
  return { id: "chosen", type: "scatter", silent: true, animation: false, symbolSize: 18, z: 5, data: known ? [volcanoPoint(state.chosen)] : [], itemStyle: { color: "transparent", borderColor: style("--ink"), borderWidth: 3 } };
}

function volcanoOption() {
  const { edges, verdicts, heads, margin, signed, total } = state.diff;
  const some = state.shown.filter((i) => edges.p[i] !== null && edges.delta[i] !== null);
  const groups = groupedBy(some, (i) => verdicts[edges.verdict[i]]);
  const series = verdicts.filter((name) => groups.has(name)).map((name) => ({
    type: "scatter", name: words(name), data: groups.get(name).map(volcanoPoint), symbolSize: 6, large: true, largeThreshold: 400, silent: true, animation: false, itemStyle: { color: colour(name), opacity: 0.7 },
  }));
  const margins = (signed ? [-margin, margin] : [margin]).map((at) => ({ xAxis: at }));
  const lines = { id: "margin", type: "line", data: [], markLine: { symbol: "none", silent: true, label: { show: false }, lineStyle: { color: style("--soft") }, data: margins } };
  const option = {
    grid: { left: 46, right: 12, top: 30, bottom: 44 },
    legend: { top: 0, textStyle: { color: style("--soft"), fontSize: 11 }, itemHeight: 8, data: series.map((one) => one.name), selectedMode: false },
    xAxis: axis(heads.delta, { type: "value" }),
    yAxis: axis("−log10 p", { type: "value" }),
    series: [...series, lines, chosenPoint()],
  };
  const caption = `${some.length} of ${total} edges; lines: the margin. p below 1e-${HIGHEST} stands at ${HIGHEST}.`;
  return { option, caption, near: (x, y) => nearestPoint(some, x, y), chosen: () => [chosenPoint()] };
}

function nearestPoint(some, x, y) {
  const { drawn } = figures.volcano;
  if (!drawn.containPixel({ gridIndex: 0 }, [x, y])) return null;
  let [best, found] = [NEAR * NEAR, null];
  for (const i of some) {
    const [px, py] = drawn.convertToPixel({ gridIndex: 0 }, volcanoPoint(i));
    const distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < best) [best, found] = [distance, i];
  }
  return found;
}

function hubsOption() {
  const all = state.diff.hubs;
  if (!all.length) return null;
  const some = all.slice(0, 15).reverse();
  const ends = state.chosen === null ? [] : [edge(state.chosen).source, edge(state.chosen).target];
  const option = {
    grid: { left: 80, right: 14, top: 8, bottom: 44 },
    xAxis: axis("rank by change (95% interval)", { type: "value", min: 0 }),
    yAxis: axis("", { type: "category", data: some.map((hub) => short(hub.component, 12)) }),
    series: [
      { type: "custom", renderItem: (_, api) => whisker(api, [api.value(0), api.value(2)], [api.value(1), api.value(2)], style("--soft"), 2), data: some.map((hub, i) => [hub.rank_low, hub.rank_high, i]), encode: { x: [0, 1], y: 2 }, itemStyle: { color: style("--soft") }, silent: true },
      { type: "scatter", symbolSize: 9, data: some.map((hub, i) => ({ value: [hub.rank, i], hub, itemStyle: { color: ends.includes(hub.component) ? "#CC79A7" : style("--ink") } })) },
    ],
    tooltip: { formatter: ({ data }) => `<b>${escaped(short(data.hub.component))}</b><br>${data.hub.degree} of ${data.hub.edges} edges changed; rank ${number(data.hub.rank, 0)} (${number(data.hub.rank_low, 0)} to ${number(data.hub.rank_high, 0)}); ${escaped(words(data.hub.verdict))}, q ${number(data.hub.q)}` },
  };
  return { option, caption: `${some.length} of ${all.length} components with a changed edge, whatever the filter. Rank 1: most change at its edges.` };
}

const GROUPS = 6;

function layerGroup(end) {
  const { layer, name } = state.diff.nodes;
  if (layer[end] === null) return name[end];
  const top = Math.max(...layer.filter((one) => one !== null));
  const size = Math.ceil((top + 1) / GROUPS);
  const first = Math.floor(layer[end] / size) * size;
  const last = Math.min(top, first + size - 1);
  return first === last ? `L${first}` : `L${first}–${last}`;
}

function flowOption() {
  const { edges } = state.diff;
  const ends = (i) => JSON.stringify([`from ${layerGroup(edges.source[i])}`, `into ${layerGroup(edges.target[i])}`]);
  const flows = groupedBy(state.shown.filter(isClaim), ends);
  if (!flows.size || state.diff.rows.length < 3 || flows.size > 400) return null;
  const links = [...flows].map(([key, some]) => {
    const [source, target] = JSON.parse(key);
    const value = some.reduce((sum, i) => sum + Math.abs(edges.delta[i]), 0);
    return { source, target, value: Number(value.toPrecision(4)) };
  });
  const names = [...new Set(links.flatMap((link) => [link.source, link.target]))];
  const option = {
    series: [{ type: "sankey", data: names.map((name) => ({ name })), links, left: 8, right: 90, top: 8, bottom: 8, label: { color: style("--ink"), formatter: ({ name }) => short(name, 17) }, lineStyle: { color: "source", opacity: 0.35 }, animation: false }],
    tooltip: { formatter: ({ data }) => data.source ? `${escaped(data.source)} ${escaped(data.target)}: ${number(data.value)}` : escaped(data.name) },
  };
  return { option, caption: "Sum of |change| of the claims shown, from sending to receiving layers." };
}

function layersOption() {
  const { labels, a, b } = state.diff.layers;
  if (labels.length < 3) return null;
  return { option: lines(labels, { a, b }, "sum of |weight|"), caption: "Sum of |weight| over all edges that leave a layer, in both variants, whatever the filter." };
}

function trajectoriesOption() {
  const found = state.diff.trajectories;
  if (!found) return null;
  const option = lines(found.labels, { a: found.a.value, b: found.b.value }, "logit difference");
  for (const side of ["a", "b"]) {
    const data = found[side].low.map((low, i) => [i, low, found[side].high[i]]);
    option.series.push({ type: "custom", silent: true, data, encode: { x: 0, y: [1, 2] }, renderItem: (_, api) => whisker(api, [api.value(0), api.value(1)], [api.value(0), api.value(2)], SIDES[side], 1.5) });
  }
  return { option, caption: "Answer minus wrong answer, read from the residual stream after each layer (logit lens), mean over scenarios with its 95% interval." };
}

function lines(labels, values, name) {
  return {
    grid: { left: 56, right: 12, top: 30, bottom: 44 },
    legend: { top: 0, textStyle: { color: style("--soft"), fontSize: 11 } },
    xAxis: axis("layer", { type: "category", data: labels }),
    yAxis: axis(name, { type: "value", nameGap: 42 }),
    series: ["a", "b"].map((side) => ({ type: "line", name: short(state.diff[side], 24), data: values[side], itemStyle: { color: SIDES[side] }, animation: false })),
    tooltip: { trigger: "axis", formatter: (events) => events.filter((one) => one.seriesType === "line").map((one) => `${escaped(one.seriesName)} ${escaped(one.name)}: ${number(one.value)}`).join("<br>") },
  };
}

const MOST_SMALL = 12;

function scenariosOption() {
  const { scenarios, details, heads } = state.diff;
  if (!scenarios.length) return null;
  const claims = state.shown.filter((i) => details[i]);
  const some = claims.slice(0, MOST_SMALL);
  if (state.chosen !== null && details[state.chosen] && !some.includes(state.chosen)) some.unshift(state.chosen);
  if (!some.length) return null;
  const across = Math.min(4, some.length);
  const down = Math.ceil(some.length / across);
  const place = (at) => ({ left: `${(at % across) * 100 / across + 4}%`, width: `${100 / across - 6}%`, top: `${Math.floor(at / across) * 100 / down + 9 / down + 2}%`, height: `${62 / down}%` });
  const option = {
    title: some.map((i, at) => ({ text: short(label(edge(i)), 22), left: place(at).left, top: `${Math.floor(at / across) * 100 / down}%`, textStyle: { fontSize: 11, color: style("--ink") } })),
    grid: some.map((_, at) => place(at)),
    xAxis: some.map((_, at) => ({ type: "category", gridIndex: at, data: scenarios.map((name) => short(name, 14)), axisLabel: { show: false }, axisTick: { show: false }, axisLine: { lineStyle: { color: style("--soft") } } })),
    yAxis: some.map((_, at) => ({ type: "value", gridIndex: at, splitNumber: 2, axisLabel: { fontSize: 9, color: style("--soft") }, splitLine: { show: false } })),
    series: some.map((i, at) => ({ type: "bar", xAxisIndex: at, yAxisIndex: at, data: details[i].means.map((value) => ({ value, edge: i })), itemStyle: { color: colour(edge(i).verdict), opacity: i === state.chosen || state.chosen === null ? 1 : 0.4 }, animation: false })),
    tooltip: { formatter: (event) => `${escaped(short(event.name))}: ${number(event.value)}` },
  };
  return { option, caption: `${heads.delta} by scenario (a bar each: ${scenarios.map((name) => short(name, 24)).join(", ")}); ${some.length} of ${claims.length} claims that are told by scenario (at most the first 2,000 claims and 60 scenarios).` };
}
