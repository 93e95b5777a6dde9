// Unpacks the charts' library and the figures, draws them in the page's colours and width, and links their time axes.
(async () => {
  const unpacked = async id => {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), c => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const library = document.createElement("script");
  library.textContent = await unpacked("chart-library");
  document.head.append(library);
  const figures = JSON.parse(await unpacked("chart-data"));
  const narrow = () => innerWidth < 700;
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axes = (layout, side) => Object.keys(layout).filter(key => new RegExp(`^${side}axis\\d*$`).test(key));
  const number = x => typeof x === "number" ? x : Date.parse(/Z$|\+/.test(x) ? x : x.replace(" ", "T") + "Z");

  const themed = layout => {
    const ink = colour("--ink"), line = colour("--line");
    Object.assign(layout, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" });
    layout.font = { ...layout.font, color: ink };
    layout.hoverlabel = { bgcolor: colour("--card"), bordercolor: line, font: { color: ink } };
    for (const key of [...axes(layout, "x"), ...axes(layout, "y")]) {
      Object.assign(layout[key], { gridcolor: line, linecolor: line, zerolinecolor: colour("--rule"), automargin: true });
    }
    return layout;
  };

  // Small multiples stand side by side where there is room, and below one another where there is not.
  const placed = (layout, columns) => {
    const meta = layout.meta || {};
    if (!meta.panels) return layout;
    const rows = Math.ceil(meta.panels / columns), gap = 0.3 / (rows + 0.3), share = (1 - gap * (rows - 1)) / rows;
    const xs = axes(layout, "x"), ys = axes(layout, "y"), across = columns > 1 ? 0.07 : 0;
    const below = layout[xs[meta.panels - 1]].title;
    for (let k = 0; k < meta.panels; k++) {
      const row = Math.floor(k / columns), column = k % columns, width = (1 - across * (columns - 1)) / columns;
      const left = column * (width + across), top = 1 - row * (share + gap);
      layout[xs[k]].domain = [left, left + width];
      layout[ys[k]].domain = [Math.max(0, top - share), top];
      Object.assign(layout.annotations[k], { x: left + width / 2, y: top });
      layout[ys[k]].title = column ? { text: "" } : layout[ys[0]].title;
      layout[xs[k]].title = k < meta.panels - columns ? { text: "" } : below;
    }
    layout.height = 110 + 225 * rows;
    return layout;
  };

  const fitted = figure => {
    const layout = themed(structuredClone(figure.layout));
    delete layout.width;
    if (narrow()) {
      placed(layout, 1);
      layout.margin = { ...layout.margin, l: 44, r: 8 };
      layout.font.size = 10;
      layout.legend = { ...layout.legend, x: 0, xanchor: "left", y: layout.meta?.panels ? -60 / (layout.height - 112) : -0.25, yanchor: "top", orientation: "h" };
      for (const key of axes(layout, "x")) layout[key].nticks = 4;
    } else if (innerWidth < 1000) placed(layout, 2);
    return layout;
  };
  const inked = (data, ink) => data.map(trace =>
    trace.line?.color === "#1f2933" ? { ...trace, line: { ...trace.line, color: ink } } : trace);

  const drawn = {}, config = { displayModeBar: false, responsive: true };
  const draw = id => {
    const layout = fitted(figures[id]);
    drawn[id].style.height = `${layout.height}px`; // the library takes the holder's height where it answers to the window
    return Plotly.react(drawn[id], inked(figures[id].data, colour("--ink")), layout, config);
  };
  for (const id of Object.keys(figures)) {
    drawn[id] = document.getElementById(id);
    await draw(id);
  }

  // One zoom for every chart over the window; each y axis then fits what is in sight.
  const linked = Object.keys(figures).filter(id => figures[id].layout.meta?.linked);
  const whole = id => figures[id].layout.xaxis.range.map(number);
  const inSight = (chart, from, to) => {
    const found = {};
    for (const trace of chart._fullData) {
      if (trace.visible !== true || !trace.x || !trace.y) continue;
      const key = "yaxis" + trace.yaxis.slice(1), seen = found[key] ||= [Infinity, -Infinity];
      for (let i = 0; i < trace.x.length; i++) {
        const at = number(trace.x[i]), y = trace.y[i];
        if (at < from || at > to || y === null || !Number.isFinite(+y)) continue;
        if (y < seen[0]) seen[0] = +y;
        if (y > seen[1]) seen[1] = +y;
      }
    }
    return found;
  };
  const show = async (from, to) => {
    for (const id of linked) {
      const chart = drawn[id], change = {};
      for (const key of axes(chart._fullLayout, "x")) change[`${key}.range`] = [from, to];
      for (const [key, [low, high]] of Object.entries(inSight(chart, from, to))) {
        if (low > high || chart.layout[key].range && !chart.layout[key].autorange && figures[id].layout[key].range) continue;
        const room = (high - low || Math.abs(high) || 1) * 0.06;
        const floor = figures[id].layout[key].rangemode === "tozero" ? Math.min(0, low) : low - room;
        change[`${key}.range`] = [floor, high + room];
      }
      chart.busy = true;
      await Plotly.relayout(chart, change);
      chart.busy = false;
    }
  };
  for (const id of linked) {
    drawn[id].on("plotly_relayout", event => {
      if (drawn[id].busy) return;
      const key = Object.keys(event).find(name => /^xaxis\d*\.range(\[0\])?$/.test(name));
      if (key) {
        const axis = key.split(".")[0];
        const ends = event[`${axis}.range`] || [event[`${axis}.range[0]`], event[`${axis}.range[1]`]];
        show(...ends.map(number));
      } else if (Object.keys(event).some(name => /autorange/.test(name))) show(...whole(id));
    });
  }
  for (const button of document.querySelectorAll(".reset")) button.onclick = () => show(...whole(linked[0]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => Object.keys(drawn).forEach(draw));
  let wide = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== wide) Object.keys(drawn).forEach(draw);
    wide = innerWidth;
  });
  document.documentElement.dataset.drawn = "yes";
})();
