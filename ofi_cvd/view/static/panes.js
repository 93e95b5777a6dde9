// The panes: what each one draws, in which unit, and how it is read under the cursor. Charts are uPlot's.
import * as draw from "./draw.js";
import { axis, clock, number } from "./format.js";

const up = (values) => values.map((v) => (v >= 0 ? v : null));
const down = (values) => values.map((v) => (v < 0 ? v : null));
const perSecond = (lines, width) => lines.n_trades.map((n) => (n * 1000) / width);

// The value that stands at a bucket: its own, or the last one before it with no break between.
function standing(data, name, i) {
  const column = data.lines[name];
  let at = i;
  while (at > 0 && column[at] == null) at -= 1;
  const cut = data.breaks.some((gap) => gap.start_ms < data.lines.t[i] && gap.end_ms > data.lines.t[at]);
  return cut && at < i ? null : column[at];
}

// name: { title, unit, weight, needs, columns(data), series(colors), says(data, i) }
export const PANES = {
  price: {
    title: "Price", unit: "quote", weight: 2.6,
    // Beside candles the line would only cross their bodies.
    columns: (d, kind) => [kind === "mid" ? d.lines.mid : d.trades || d.footprint ? d.lines.close : d.lines.close.map(() => null)],
    series: (c) => [{ stroke: c.mid, width: 1.2, paths: steps() }],
    says: (d, i, bar) => [
      ...(bar < 0 ? [] : ["open", "high", "low", "close"].map((name) => [name, d.bars[name][bar], ""])),
      ["mid", standing(d, "mid", i), "quote"], ["volume", d.lines.volume[i] ?? 0, "base"],
      ["bought", d.lines.buy_volume[i] ?? 0, "base"],
    ],
  },
  cvd: {
    title: "CVD", unit: "base", weight: 1.2,
    columns: (d) => [d.lines.cvd],
    series: (c) => [{ stroke: c.accent, width: 1.3, paths: steps() }],
    says: (d, i) => [["cvd", standing(d, "cvd", i), "base"], ["flow", d.lines.cvd_flow[i], "base"]],
  },
  ofi: {
    title: "OFI", unit: "base", weight: 1,
    columns: (d) => [up(d.lines.ofi), down(d.lines.ofi)],
    series: (c) => [bars(c.up), bars(c.down)],
    zero: true,
    says: (d, i) => [["order-flow imbalance", d.lines.ofi[i], "base"]],
  },
  score: {
    title: "Score", unit: "", weight: 1,
    columns: (d) => [d.lines.score_z_high, d.lines.score_z_low, d.lines.score_z, d.lines.score],
    series: (c) => [{ stroke: c.band, width: 0.5 }, { stroke: c.band, width: 0.5 }, { stroke: c.score, width: 1 },
      { stroke: c.quiet, width: 0.8 }],
    bands: (c) => [{ series: [1, 2], fill: c.band }],
    says: (d, i) => [["score", standing(d, "score", i), ""], ["z", standing(d, "score_z", i), ""],
      ...(d.width_ms <= 1000 ? [] : [["z from", d.lines.score_z_low[i], ""], ["to", d.lines.score_z_high[i], ""]])],
  },
  rate: {
    title: "Trades", unit: "1/s", weight: 0.8,
    columns: (d) => [perSecond(d.lines, d.width_ms)],
    series: (c) => [{ stroke: c.rate, fill: c.rate + "44", width: 1, paths: uPlot.paths.stepped({ align: -1 }) }],
    zero: true,
    says: (d, i) => [["rate", (d.lines.n_trades[i] * 1000) / d.width_ms, "trades/s"]],
  },
  spread: {
    title: "Spread", unit: "bps", weight: 0.7,
    columns: (d) => [d.lines.spread_bps],
    series: (c) => [{ stroke: c.spread, width: 1, paths: steps() }],
    says: (d, i) => [["spread", standing(d, "spread_bps", i), "bps"]],
  },
  depth: {
    title: "Depth", unit: "base", weight: 0.8, needs: "has_depth",
    columns: (d) => [d.lines.depth_bid],
    series: () => [{ stroke: "transparent" }],
    hidden: true,
    says: (d, i) => [["asks", d.lines.depth_ask[i], "base"], ["bids", d.lines.depth_bid[i], "base"]],
  },
};

// A value holds from the instant it is known until the next one.
const steps = () => uPlot.paths.stepped({ align: 1 });

function bars(color) {
  return { stroke: color, fill: color, width: 0, paths: uPlot.paths.bars({ size: [0.85, Infinity], align: -1 }) };
}

// The bucket (t - width, t] that holds an instant: the first whose end is not before it.
export function bucketAt(ends, ms) {
  let low = 0, high = ends.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle] < ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

const RIGHT = 8;
const gutter = (width) => (width < 700 ? 52 : 62);

export class Pane {
  constructor(name, host, view) {
    Object.assign(this, { name, view, spec: PANES[name] });
    this.element = document.createElement("section");
    this.element.className = "pane";
    this.element.dataset.pane = name;
    this.caption = document.createElement("div");
    this.caption.className = "caption";
    this.empty = document.createElement("div");
    this.empty.className = "empty";
    this.element.append(this.caption, this.empty);
    host.append(this.element);
  }

  build(width, height, last) {
    this.chart?.destroy();
    this.room = { width: width - gutter(width) - RIGHT, height: height - 6 }; // uPlot lays itself out later
    this.chart = new uPlot(this.options(width, height, last), this.columns(), this.element);
  }

  columns() {
    const { data, kind } = this.view;
    return data ? [data.lines.t, ...this.spec.columns(data, kind)] : [[], ...this.spec.columns({ lines: new Proxy({}, { get: () => [] }), width_ms: 1 })];
  }

  options(width, height, last) {
    const { colors, view, spec } = this.bind();
    const gaps = (...args) => (view.data ? draw.cuts(view.data.breaks)(...args) : []);
    return {
      width, height, ms: 1, pxAlign: 0, legend: { show: false }, padding: [6, RIGHT, 0, 0],
      tzDate: (ms) => uPlot.tzDate(new Date(ms), "Etc/UTC"),
      scales: { x: { time: true, auto: false }, y: { range: (u, low, high) => this.range(low, high) } },
      axes: [
        { stroke: colors.quiet, grid: { stroke: colors.grid, width: 1 }, ticks: { show: false }, size: last ? 24 : 0, space: 64,
          font: "11px system-ui", values: last ? (u, splits, _a, _f, step) => splits.map((ms) => clock(ms, step)) : () => [] },
        { stroke: colors.quiet, grid: { stroke: colors.grid, width: 1 }, ticks: { show: false }, size: gutter(width),
          font: "11px system-ui", values: spec.hidden ? () => [] : (u, splits, _a, _f, step) => axis(splits, step), space: 26 },
      ],
      series: [{}, ...spec.series(colors).map((one) => ({ points: { show: false }, ...one, gaps }))],
      bands: spec.bands?.(colors),
      cursor: {
        sync: { key: "ofi", setSeries: false }, drag: { x: false, y: false }, points: { show: false },
        dataIdx: (u, _series, _near, ms) => bucketAt(u.data[0], ms),
      },
      hooks: {
        drawClear: [(u) => view.data && draw.background(u, view.data, colors, this.name === "price")],
        draw: [(u) => this.paint(u, colors)],
        setCursor: [(u) => this.say(u.cursor.idx)],
      },
    };
  }

  bind() {
    return { colors: this.view.colors, view: this.view, spec: this.spec };
  }

  paint(u, colors) {
    const { data, kind } = this.view;
    if (!data) return;
    if (this.name === "price") {
      const crowded = data.footprint || data.trades;
      if (kind === "candles") draw.candles(u, data.bars, data.bar_ms, colors, crowded ? 0.28 : 1);
      if (kind === "candles" && data.footprint) draw.footprint(u, data.footprint, colors);
      if (data.trades) draw.trades(u, data.trades, colors);
      draw.lane(u, data, colors);
    }
    if (this.name === "depth") draw.heat(u, data.lines, data.width_ms, colors);
    draw.hatch(u, data.breaks, colors);
    const own = this.name === "price" ? data.bars.t.length || data.lines.t.length
      : this.columns().slice(1).some((column) => column.some((v) => v != null));
    this.empty.textContent = own ? "" : "no rows here";
  }

  // The scale fits what is on the screen; candles count with their highs and lows.
  range(low, high) {
    const { data, kind, range } = this.view;
    if (this.name === "price" && data && kind === "candles") {
      for (let i = 0; i < data.bars.t.length; i++) {
        if (data.bars.t[i] < range.start || data.bars.t[i] - data.bar_ms > range.end) continue;
        low = Math.min(low ?? Infinity, data.bars.low[i]);
        high = Math.max(high ?? -Infinity, data.bars.high[i]);
      }
    }
    if (low == null || high == null) return [0, 1];
    if (this.spec.zero) [low, high] = [Math.min(low, 0), Math.max(high, 0)];
    const room = (high - low) * 0.07 || Math.abs(high) * 0.001 || 1;
    const foot = this.name === "price" ? ((high - low) * 0.13 || room) : room;
    return [this.spec.zero && low === 0 ? -room : low - foot, high + room * 2];
  }

  say(index) {
    const { data } = this.view;
    const title = `<b>${this.spec.title}</b>`;
    if (!data || !data.lines.t.length) return void (this.caption.innerHTML = title);
    const inside = index != null && index < data.lines.t.length;
    const i = inside ? index : lastKnown(data, this.view.range.end);
    const bar = i < 0 ? -1 : matching(data.bars.t, bucketAt(data.bars.t, data.lines.t[i]), data.lines.t[i], data.bar_ms);
    const values = i < 0 ? [] : this.spec.says(data, i, bar);
    this.caption.innerHTML = title + values.map(([name, value, unit]) =>
      `<span>${name} ${number(value)}${value == null ? "" : " " + unit}</span>`).join("");
  }

  show() {
    this.chart.setData(this.columns(), false);
    this.move();
  }

  move() {
    const { start, end } = this.view.range;
    this.chart.setScale("x", { min: start, max: end });
    this.say(this.chart.cursor.idx);
  }
}

const matching = (ends, i, t, width) => (i < ends.length && ends[i] - width < t ? i : -1);
const lastKnown = (data, end) => Math.min(bucketAt(data.lines.t, end), data.lines.t.length - 1);
