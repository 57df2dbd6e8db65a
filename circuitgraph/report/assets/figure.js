// A figure: heading, drawing, caption, and the drawing as SVG and PNG.
const figures = {};

function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function figure(id, title, option) {
  const frame = byId(id);
  const row = make("div", null, { class: "row" });
  row.append(make("h3", title));
  const buttons = make("span");
  for (const kind of ["SVG", "PNG"]) {
    const button = make("button", kind, { type: "button", "aria-label": `${title} as ${kind}` });
    button.addEventListener("click", () => savePicture(id, kind));
    buttons.append(button);
  }
  row.append(buttons);
  const chart = make("div", null, { class: "chart", role: "img", "aria-label": title });
  const caption = make("figcaption");
  frame.replaceChildren(row, chart, caption);
  const drawn = echarts.init(chart, null, { renderer: "canvas" });
  figures[id] = { drawn, option, caption, title, frame, chart, found: null };
  drawn.on("click", ({ data }) => data && data.edge !== undefined && choose(data.edge));
  followPointer(id);
  new ResizeObserver(() => drawn.resize()).observe(chart);
}

// Drawings of many edges tell by themselves which edge is near the pointer.
function followPointer(id) {
  const canvas = figures[id].drawn.getZr();
  const under = (event) => {
    const { found } = figures[id];
    return found && found.near ? found.near(event.offsetX, event.offsetY) : undefined;
  };
  canvas.on("mousemove", (event) => {
    const i = under(event);
    if (i === undefined) return;
    canvas.setCursorStyle(i === null ? "default" : "pointer");
    showTip(i, event.event);
  });
  canvas.on("globalout", () => showTip(null));
  canvas.on("click", (event) => { const i = under(event); if (i !== undefined && i !== null) choose(i); });
}

function showTip(i, event) {
  const holder = byId("tip");
  holder.hidden = i === null;
  if (i === null) return;
  holder.innerHTML = tip(i);
  const room = [innerWidth - holder.offsetWidth - 8, innerHeight - holder.offsetHeight - 8];
  holder.style.left = `${Math.max(4, Math.min(event.clientX + 14, room[0]))}px`;
  holder.style.top = `${Math.max(4, Math.min(event.clientY + 14, room[1]))}px`;
}

function common() {
  return {
    animation: false,
    backgroundColor: style("--card"),
    textStyle: { color: style("--ink"), fontFamily: "system-ui, sans-serif" },
    tooltip: {
      confine: true,
      backgroundColor: style("--card"),
      borderColor: style("--line"),
      textStyle: { color: style("--ink"), fontSize: 12 },
    },
  };
}

function axis(name, extra) {
  const soft = { color: style("--soft") };
  return {
    name,
    nameLocation: "middle",
    nameGap: 28,
    nameTextStyle: soft,
    axisLabel: soft,
    axisLine: { onZero: false, lineStyle: { color: style("--line") } },
    splitLine: { lineStyle: { color: style("--line"), opacity: 0.5 } },
    ...extra,
  };
}

function groupedBy(items, key) {
  const groups = new Map();
  for (const item of items) {
    const name = key(item);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(item);
  }
  return groups;
}

// A series of one shape a group, so that thousands of edges are a few shapes.
function groupSeries(id, groups, shape, panel = 0) {
  return {
    id, type: "custom", silent: true, animation: false, clip: true, xAxisIndex: panel, yAxisIndex: panel,
    data: groups.map((_, at) => [0, 0, at]), encode: { x: [], y: [] },
    renderItem: (params, api) => shape(groups[params.dataIndex], api),
  };
}

// A line between two points of the axes: an interval.
function whisker(api, from, to, stroke, lineWidth) {
  const [[x1, y1], [x2, y2]] = [api.coord(from), api.coord(to)];
  return { type: "line", shape: { x1, y1, x2, y2 }, style: { stroke, lineWidth } };
}

function draw(id) {
  const { drawn, option, caption, chart, frame, title } = figures[id];
  const found = option();
  figures[id].found = found;
  frame.hidden = found === null;
  if (found === null) return;
  drawn.resize();
  drawn.setOption({ ...common(), ...found.option, tooltip: { ...common().tooltip, ...found.option.tooltip } }, true);
  caption.textContent = found.caption;
  chart.setAttribute("aria-label", `${title}. ${found.caption}`);
}

// Marks the chosen edge where the drawing keeps it apart; else draws all again.
function mark(id) {
  const { drawn, found } = figures[id];
  if (found === null) return;
  if (found.chosen) drawn.setOption({ series: found.chosen() });
  else draw(id);
}

function tip(i) {
  const one = edge(i);
  const { heads } = state.diff;
  const why = one.mechanism ? `, ${one.mechanism}` : "";
  const lines = [
    `<b>${escaped(label(one))}</b>`,
    `<span style="color:${colour(one.verdict)}">■</span> ${escaped(words(one.verdict) + why)}`,
    `${escaped(heads.weight_a)} ${number(one.weight_a)}, ${escaped(heads.weight_b)} ${number(one.weight_b)}`,
    `${escaped(heads.delta)} ${number(one.delta)} (95% ${number(one.low)} to ${number(one.high)}), q ${number(one.q)}`,
  ];
  const example = (state.diff.examples.by_edge[i] || [])[0];
  if (example) {
    const prompt = state.diff.examples.prompts[example[0]];
    lines.push(`<i>changes most on:</i> ${escaped(short(prompt.prompt || prompt.id, 90))}`);
  }
  return lines.join("<br>");
}

function save(name, content, type) {
  const link = make("a", null, { download: name, href: URL.createObjectURL(new Blob([content], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function fileName(id, ending) {
  return `circuitgraph-${state.diff.lens}-${state.diff.id.slice(0, 8)}-${id}.${ending}`;
}

function savePicture(id, kind) {
  const { drawn, chart } = figures[id];
  const size = { width: chart.clientWidth, height: chart.clientHeight };
  if (kind === "SVG") {
    const copy = echarts.init(null, null, { renderer: "svg", ssr: true, ...size });
    copy.setOption(drawn.getOption());
    save(fileName(id, "svg"), copy.renderToSVGString(), "image/svg+xml");
    copy.dispose();
    return;
  }
  const url = drawn.getDataURL({ type: "png", pixelRatio: 3, backgroundColor: style("--card") });
  const bytes = Uint8Array.from(atob(url.split(",")[1]), (letter) => letter.charCodeAt(0));
  save(fileName(id, "png"), bytes, "image/png");
}
