// The circuit: a row a layer, a column a head or MLP; an arc for every edge shown. Arcs of one
// colour and width are one path, so that thousands of them are redrawn within a frame.
const MOST_ARCS = 2000;
const MOST_LABELS = 60;
const WIDTHS = [0.7, 1.5, 2.8, 5];
const BEND = 0.15;
const NEAR = 7;

function arcsOf(mode) {
  const { edges } = state.diff;
  const weight = edges[{ difference: "delta", a: "weight_a", b: "weight_b" }[mode]];
  const size = (i) => Math.abs(weight[i] || 0);
  const order = mode === "difference" ? state.shown : [...state.shown].sort((x, y) => size(y) - size(x));
  const some = order.slice(0, MOST_ARCS);
  const largest = Math.max(1e-12, ...some.map(size));
  return some.map((i) => ({ i, width: WIDTHS[Math.min(3, Math.floor(4 * Math.sqrt(size(i) / largest)))], colour: arcColour(i, weight[i], mode) }));
}

function arcColour(i, value, mode) {
  if (mode === "difference") return colour(state.diff.verdicts[state.diff.edges.verdict[i]]);
  return value < 0 ? SIDES.b : SIDES.a;
}

function arcGroups(arcs) {
  const groups = [...groupedBy(arcs, (arc) => `${arc.colour} ${arc.width}`).values()];
  const drawn = groups.map((some) => ({ colour: some[0].colour, width: some[0].width, members: some.map((arc) => arc.i) }));
  return drawn.sort((x, y) => (x.colour === OTHER ? 0 : 1) - (y.colour === OTHER ? 0 : 1) || x.width - y.width);
}

// Start, control point and end of an arc in pixels; the bend keeps edges over layers apart.
function bow(i, place) {
  const { edges, nodes } = state.diff;
  const [from, to] = [edges.source[i], edges.target[i]].map((end) => place([nodes.x[end], nodes.y[end]]));
  const middle = [(from[0] + to[0]) / 2 - BEND * (to[1] - from[1]), (from[1] + to[1]) / 2 + BEND * (to[0] - from[0])];
  return [from, middle, to];
}

// All arcs of a group as one shape: far cheaper than a shape each, or than text of a path.
const Arcs = echarts.graphic.extendShape({
  shape: { bows: [] },
  buildPath(path, { bows }) {
    for (const [from, middle, to] of bows) {
      path.moveTo(from[0], from[1]);
      path.quadraticCurveTo(middle[0], middle[1], to[0], to[1]);
    }
  },
});
echarts.graphic.registerShape("arcs", Arcs);

// Every component's place is asked for once a drawing.
function remembered(place) {
  const at = new Map();
  return (point) => {
    const key = point[0] * 4096 + point[1];
    if (!at.has(key)) at.set(key, place(point));
    return at.get(key);
  };
}

function arcSeries(id, panel, groups, look) {
  return groupSeries(id, groups, (group, api) => {
    const place = remembered((point) => api.coord(point));
    return { type: "arcs", shape: { bows: group.members.map((i) => bow(i, place)) }, style: { fill: "none", ...look(group) } };
  }, panel);
}

function chosenArc(panel) {
  const groups = state.chosen === null ? [] : [{ members: [state.chosen] }];
  return [
    arcSeries(`halo-${panel}`, panel, groups, () => ({ stroke: style("--ink"), lineWidth: 9, opacity: 0.9 })),
    arcSeries(`chosen-${panel}`, panel, groups, () => ({ stroke: colour(edge(state.chosen).verdict), lineWidth: 5 })),
  ];
}

function pointSeries(arcs, panel) {
  const { nodes, edges, rows, columns } = state.diff;
  const strength = new Array(nodes.name.length).fill(0);
  for (const { i } of arcs) for (const end of [edges.source[i], edges.target[i]]) strength[end] += Math.abs(edges.delta[i] || 0);
  const most = Math.max(1e-12, ...strength);
  const room = Math.max(4, Math.min(16, 600 / rows.length, 700 / columns.length));
  const few = nodes.name.length <= MOST_LABELS && state.mode === "difference";
  return {
    type: "scatter", xAxisIndex: panel, yAxisIndex: panel, animation: false, silent: true,
    data: nodes.name.map((name, i) => ({ value: [nodes.x[i], nodes.y[i]], symbolSize: room * (0.5 + Math.sqrt(strength[i] / most)), itemStyle: { color: strength[i] ? style("--ink") : style("--line") } })),
    label: { show: few, position: "bottom", color: style("--soft"), fontSize: 11, formatter: (event) => short(nodes.name[event.dataIndex], 12) },
  };
}

function panelAxes(panel, panels) {
  const { columns, rows } = state.diff;
  const half = panels === 1 ? { left: 60, right: 20 } : { left: panel ? "54%" : 60, right: panel ? 20 : "50%" };
  const named = (labels) => ({ color: style("--soft"), formatter: (at) => (labels[at] === undefined ? "" : short(labels[at], 8)) });
  const scale = (labels) => axis("", { type: "value", min: -1, max: labels.length, interval: Math.max(1, Math.ceil(labels.length / 34)), axisLabel: named(labels), splitLine: { show: false }, gridIndex: panel });
  return { grid: { top: 30, bottom: 40, ...half }, x: scale(columns), y: scale(rows) };
}

function circuitOption() {
  const modes = state.mode === "beside" ? ["a", "b"] : ["difference"];
  const arcs = modes.map(arcsOf);
  const axes = modes.map((_, panel) => panelAxes(panel, modes.length));
  const each = modes.map((_, i) => i);
  const option = {
    grid: axes.map((one) => one.grid),
    xAxis: axes.map((one) => one.x),
    yAxis: axes.map((one) => one.y),
    title: modes.length < 2 ? [] : modes.map((name, i) => ({ text: short(state.diff[name], 30), left: i ? "54%" : 60, textStyle: { fontSize: 13, color: style("--ink") } })),
    dataZoom: [{ type: "inside", xAxisIndex: each, throttle: 50 }, { type: "inside", yAxisIndex: each, throttle: 50 }],
    series: each.flatMap((i) => [arcSeries(`arcs-${i}`, i, arcGroups(arcs[i]), (group) => ({ stroke: group.colour, lineWidth: group.width, opacity: group.colour === OTHER ? 0.35 : 0.7 })), ...chosenArc(i), pointSeries(arcs[i], i)]),
  };
  const kinds = modes.length > 1 ? "Blue above 0, orange below; width: size of the weight" : "Colour: verdict; width: size of the change";
  const caption = `${arcs[0].length} of ${state.diff.total} edges are drawn (${state.shown.length} pass the filter). ${kinds}. Point at an edge for its numbers, click to pin it, turn the wheel to zoom.`;
  return { option, caption, near: (x, y) => nearestArc(arcs, x, y), chosen: () => each.flatMap(chosenArc) };
}

// The edge whose arc passes closest to the pointer, or null where none is near.
function nearestArc(arcs, x, y) {
  const { drawn } = figures.circuit;
  let [best, found] = [NEAR * NEAR, null];
  arcs.forEach((some, panel) => {
    if (!drawn.containPixel({ gridIndex: panel }, [x, y])) return;
    const place = remembered((point) => drawn.convertToPixel({ gridIndex: panel }, point));
    for (const { i } of some) {
      const distance = fromBow(bow(i, place), x, y);
      if (distance < best) [best, found] = [distance, i];
    }
  });
  return found;
}

// Least squared distance of a point from a quadratic curve, on 24 short chords of it.
function fromBow([from, middle, to], x, y) {
  const box = [from, middle, to];
  for (const [axisAt, value] of [[0, x], [1, y]]) {
    const ends = box.map((point) => point[axisAt]);
    if (value < Math.min(...ends) - NEAR || value > Math.max(...ends) + NEAR) return Infinity;
  }
  let [least, last] = [Infinity, from];
  for (let step = 1; step <= 24; step++) {
    const t = step / 24;
    const next = [0, 1].map((k) => (1 - t) ** 2 * from[k] + 2 * t * (1 - t) * middle[k] + t * t * to[k]);
    least = Math.min(least, fromChord(last, next, x, y));
    last = next;
  }
  return least;
}

function fromChord(from, to, x, y) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const along = Math.max(0, Math.min(1, ((x - from[0]) * dx + (y - from[1]) * dy) / (dx * dx + dy * dy || 1)));
  return (x - from[0] - along * dx) ** 2 + (y - from[1] - along * dy) ** 2;
}
