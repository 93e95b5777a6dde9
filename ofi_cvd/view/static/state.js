// What the page shows, and the same as the address of the page.
import { PANES } from "./panes.js";

export const LEAST_MS = 2_000;

export class View {
  constructor() {
    const params = new URLSearchParams(location.search);
    this.symbol = params.get("symbol");
    const [start, end] = ["start_ms", "end_ms"].map((name) => (/^\d+$/.test(params.get(name) || "") ? Number(params.get(name)) : null));
    this.range = start != null && end != null && end > start ? { start, end } : null;
    const wanted = (params.get("panes") || "").split(",").filter((name) => name in PANES);
    this.panes = wanted.length ? wanted : Object.keys(PANES);
    this.kind = params.get("kind") === "mid" ? "mid" : "candles";
    this.follow = false;
    this.data = null;
    this.colors = {};
  }

  // What the dataset makes possible: a symbol it has, a span inside it, panes it has columns for.
  settle(dataset) {
    this.dataset = dataset;
    const names = Object.keys(dataset.symbols);
    if (!names.includes(this.symbol)) this.symbol = names[0] ?? null;
    this.follow = dataset.follow;
    this.panes = this.panes.filter((name) => !PANES[name].needs || dataset[PANES[name].needs]);
    if (!this.range) {
      const { start_ms: first, end_ms: last } = this.span();
      this.range = { start: Math.max(first, last - 86_400_000), end: Math.max(last, first + LEAST_MS) };
    }
  }

  span() {
    return this.dataset.symbols[this.symbol] ?? { start_ms: 0, end_ms: LEAST_MS };
  }

  // Keep a range within sight of the data and no shorter than can be shown.
  clamp(start, end) {
    const { start_ms: first, end_ms: last } = this.span();
    const whole = Math.max(last - first, LEAST_MS);
    const length = Math.min(Math.max(end - start, LEAST_MS), whole * 1.5);
    const middle = Math.min(Math.max((start + end) / 2, first), last);
    const from = Math.max(0, Math.round(middle - length / 2));
    return { start: from, end: Math.round(from + length) };
  }

  remember() {
    const params = new URLSearchParams({
      symbol: this.symbol, start_ms: this.range.start, end_ms: this.range.end, panes: this.panes.join(","), kind: this.kind,
    });
    history.replaceState(null, "", "?" + params.toString().replaceAll("%2C", ","));
  }
}
