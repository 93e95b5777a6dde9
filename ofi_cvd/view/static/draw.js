// What uPlot's hooks paint: backgrounds, hatching, candles, footprints, trades, event marks, depth.
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function theme() {
  const names = ["page", "ink", "quiet", "line", "grid", "accent", "up", "down", "mid", "score", "band", "rate", "spread", "tokyo",
    "london", "ny", "suspect", "hatch", "ah", "al", "qh", "ql", "divergence", "anomaly", "conflict"];
  return Object.fromEntries(names.map((name) => [name, css(name)]));
}

const SESSIONS = { Tokyo: "tokyo", London: "london", NY: "ny" };
const SCENARIOS = { A_H: "ah", A_L: "al", Q_H: "qh", Q_L: "ql" };
export const LANE = 13; // CSS pixels of the event lane and the scenario ribbon at the foot of the price pane

export const family = (type) => type.startsWith("pivot") ? (type.endsWith("high") ? "down" : "up")
  : type.startsWith("divergence") ? "divergence" : type.startsWith("anomaly") ? "anomaly" : "conflict";

function* visible(u, stretches) {
  const { min, max } = u.scales.x;
  for (const one of stretches) {
    if (one.end_ms <= min || one.start_ms >= max) continue;
    const from = u.valToPos(Math.max(one.start_ms, min), "x", true);
    const to = u.valToPos(Math.min(one.end_ms, max), "x", true);
    yield [from, Math.max(1, to - from), one];
  }
}

export function background(u, data, colors, labelled) {
  const { ctx, bbox } = u;
  ctx.save();
  for (const [x, w, one] of visible(u, data.sessions)) {
    ctx.fillStyle = colors[SESSIONS[one.label]] || colors.page;
    ctx.fillRect(x, bbox.top, w, bbox.height);
  }
  ctx.fillStyle = colors.suspect;
  for (const [x, w] of visible(u, data.suspect)) ctx.fillRect(x, bbox.top, w, bbox.height);
  if (labelled) {
    const ratio = devicePixelRatio;
    ctx.fillStyle = colors.quiet;
    ctx.font = `${10 * ratio}px system-ui`;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    for (const [x, w, one] of visible(u, data.sessions)) {
      if (w > 60 * ratio) ctx.fillText(one.label, x + 5 * ratio, bbox.top + 30 * ratio);
    }
  }
  ctx.restore();
}

let pattern = null;
export function forget() { pattern = null; }

function hatching(ctx, colors) {
  if (pattern) return pattern;
  const size = 8 * devicePixelRatio;
  const tile = document.createElement("canvas");
  tile.width = tile.height = size;
  const pen = tile.getContext("2d");
  pen.strokeStyle = colors.hatch;
  pen.lineWidth = devicePixelRatio;
  for (const at of [-size, 0, size]) {
    pen.moveTo(at, size);
    pen.lineTo(at + size, 0);
  }
  pen.stroke();
  return (pattern = ctx.createPattern(tile, "repeat"));
}

export function hatch(u, breaks, colors) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.fillStyle = hatching(ctx, colors);
  const least = 3 * devicePixelRatio;
  for (const [x, w] of visible(u, breaks)) {
    const wide = Math.max(w, least);
    ctx.globalAlpha = 0.9;
    ctx.fillRect(x - (wide - w) / 2, bbox.top, wide, bbox.height);
  }
  ctx.restore();
}

// Where lines are cut: nothing is drawn through a time without data, and everything else is joined.
export function cuts(breaks) {
  return (u, _series, _from, _to, _nulls) =>
    [...visible(u, breaks)].map(([x, w]) => [x, x + w]);
}

export function candles(u, bars, width, colors, alpha) {
  const { ctx } = u;
  const { min, max } = u.scales.x;
  ctx.save();
  ctx.globalAlpha = alpha;
  ctx.beginPath();
  ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  ctx.clip();
  const body = Math.max(1, (u.valToPos(min + width, "x", true) - u.valToPos(min, "x", true)) * 0.7);
  for (let i = 0; i < bars.t.length; i++) {
    if (bars.t[i] < min || bars.t[i] - width > max) continue;
    const x = u.valToPos(bars.t[i] - width / 2, "x", true);
    const [open, high, low, close] = ["open", "high", "low", "close"].map((name) => u.valToPos(bars[name][i], "y", true));
    ctx.fillStyle = ctx.strokeStyle = bars.close[i] >= bars.open[i] ? colors.up : colors.down;
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x, high);
    ctx.lineTo(x, low);
    ctx.stroke();
    ctx.fillRect(x - body / 2, Math.min(open, close), body, Math.max(devicePixelRatio, Math.abs(open - close)));
  }
  ctx.restore();
}

export function footprint(u, cells, colors) {
  const { ctx } = u;
  const ratio = devicePixelRatio;
  const most = Math.max(...cells.buy_volume, ...cells.sell_volume, 0) || 1;
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  ctx.clip();
  ctx.font = `${10 * ratio}px system-ui`;
  ctx.textBaseline = "middle";
  for (let i = 0; i < cells.price.length; i++) {
    const from = u.valToPos(cells.ts_ms[i] - cells.bar_ms, "x", true), to = u.valToPos(cells.ts_ms[i], "x", true);
    const foot = u.valToPos(cells.price[i], "y", true), head = u.valToPos(cells.price[i] + cells.tick, "y", true);
    if (to < u.bbox.left || from > u.bbox.left + u.bbox.width) continue;
    const half = (to - from) / 2 - 2 * ratio, middle = (from + to) / 2, height = Math.max(1, foot - head - ratio);
    for (const [volume, color, x, edge, align] of [
      [cells.sell_volume[i], colors.down, middle - half, middle - 4 * ratio, "right"],
      [cells.buy_volume[i], colors.up, middle, middle + 4 * ratio, "left"],
    ]) {
      ctx.globalAlpha = 0.12 + 0.6 * Math.sqrt(volume / most);
      ctx.fillStyle = color;
      if (volume) ctx.fillRect(x, head, half, height);
      const text = volume >= 1000 ? `${Math.round(volume)}` : `${+volume.toPrecision(3)}`;
      if (volume && height >= 10 * ratio && ctx.measureText(text).width < half - 5 * ratio) {
        ctx.globalAlpha = 1;
        ctx.fillStyle = colors.ink;
        ctx.textAlign = align;
        ctx.fillText(text, edge, (foot + head) / 2);
      }
    }
  }
  ctx.restore();
}

export function trades(u, rows, colors) {
  const { ctx } = u;
  const most = Math.max(...rows.qty, 0) || 1;
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  ctx.clip();
  ctx.globalAlpha = 0.75;
  for (let i = 0; i < rows.ts_ms.length; i++) {
    ctx.fillStyle = rows.side[i] === "buy" ? colors.up : colors.down;
    ctx.beginPath();
    ctx.arc(u.valToPos(rows.ts_ms[i], "x", true), u.valToPos(rows.price[i], "y", true),
      (1.6 + 5 * Math.sqrt(rows.qty[i] / most)) * devicePixelRatio, 0, 7);
    ctx.fill();
  }
  ctx.restore();
}

export function lane(u, data, colors) {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  const foot = bbox.top + bbox.height;
  ctx.save();
  for (const [x, w, one] of visible(u, data.scenarios)) {
    ctx.fillStyle = colors[SCENARIOS[one.label]] || colors.quiet;
    ctx.fillRect(x, foot - 4 * ratio, w, 4 * ratio);
  }
  const seen = data.events.filter((one) => one.ts_ms >= u.scales.x.min && one.ts_ms <= u.scales.x.max);
  const few = seen.length * 14 * ratio < bbox.width;
  for (const one of seen) {
    const x = u.valToPos(one.ts_ms, "x", true), y = foot - (LANE - 4) * ratio;
    ctx.fillStyle = colors[family(one.event_type)];
    if (few) mark(ctx, one.event_type, x, y, 4.5 * ratio);
    else ctx.fillRect(x - ratio / 2, y - 3 * ratio, ratio, 6 * ratio);
  }
  ctx.restore();
}

export function mark(ctx, type, x, y, r) {
  ctx.beginPath();
  if (type === "pivot_high") { ctx.moveTo(x - r, y - r); ctx.lineTo(x + r, y - r); ctx.lineTo(x, y + r); }
  else if (type === "pivot_low") { ctx.moveTo(x - r, y + r); ctx.lineTo(x + r, y + r); ctx.lineTo(x, y - r); }
  else if (type.startsWith("divergence")) { ctx.moveTo(x, y - r); ctx.lineTo(x + r, y); ctx.lineTo(x, y + r); ctx.lineTo(x - r, y); }
  else if (type.startsWith("anomaly")) ctx.arc(x, y, r * 0.9, 0, 7);
  else ctx.rect(x - r * 0.8, y - r * 0.8, r * 1.6, r * 1.6);
  ctx.fill();
}

// Depth as heat: the ask side above, the bid side below, darker where more waits.
export function heat(u, lines, width, colors) {
  const { ctx, bbox } = u;
  const { min, max } = u.scales.x;
  const sides = [["depth_ask", colors.down, 0], ["depth_bid", colors.up, 1]];
  const known = sides.flatMap(([name]) => lines[name]).filter((v) => v != null);
  if (!known.length) return;
  const sorted = Float64Array.from(known).sort(), most = sorted[Math.floor(sorted.length * 0.99)] || 1;
  const wide = Math.ceil(u.valToPos(min + width, "x", true) - u.valToPos(min, "x", true)) + 1;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (let i = 0; i < lines.t.length; i++) {
    if (lines.t[i] < min || lines.t[i] - width > max) continue;
    const x = u.valToPos(lines.t[i] - width, "x", true);
    for (const [name, color, row] of sides) {
      if (lines[name][i] == null) continue;
      ctx.globalAlpha = 0.06 + 0.9 * Math.min(1, lines[name][i] / most) ** 1.5;
      ctx.fillStyle = color;
      ctx.fillRect(x, bbox.top + (row * bbox.height) / 2, wide, bbox.height / 2 - 1);
    }
  }
  ctx.restore();
}
