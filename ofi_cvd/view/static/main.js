// The page: one state, one request a gesture, and the panes that show its answer.
import * as draw from "./draw.js";
import { length, number, parse, time } from "./format.js";
import { Overview } from "./overview.js";
import { bucketAt, Pane, PANES } from "./panes.js";
import { LEAST_MS, View } from "./state.js";

const $ = (id) => document.getElementById(id);
const view = new View();
const PAD = 0.25; // of the screen on each side, so that a small pan has something to show
let panes = [], loading = null, timer = 0, requests = 0, laid = "";
const overview = new Overview($("overview"), view, (start, end, done) => go(start, end, done ? 0 : null));

async function ask(path, params, signal) {
  requests += 1;
  const answer = await fetch(`${path}?${new URLSearchParams(params)}`, { signal });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

function trouble(error) {
  if (error?.name === "AbortError") return;
  $("trouble").textContent = error ? error.message : "";
  $("trouble").hidden = !error;
}

// Show a range at once with what is there, and ask for what it needs after `delay` ms; null: not yet.
function go(start, end, delay) {
  view.range = view.clamp(start, end);
  for (const pane of panes) pane.move();
  overview.move();
  header();
  clearTimeout(timer);
  if (delay != null) timer = setTimeout(load, delay);
}

// Return whether what was loaded shows the range as well as an answer would.
function covered() {
  const { data, range, loadedVersion, version, kind } = view;
  if (!data || data.symbol !== view.symbol || loadedVersion !== version || !kind) return false;
  const shown = range.end - range.start, asked = data.asked_ms;
  return range.start >= data.start_ms && range.end <= data.end_ms && Math.abs(shown - asked) < asked * 0.01;
}

async function load() {
  clearTimeout(timer);
  view.remember();
  if (covered()) return shown();
  loading?.abort();
  const own = (loading = new AbortController());
  const { range, symbol, version } = view;
  const span = range.end - range.start, pad = Math.round(span * PAD);
  const box = panes[0].room;
  try {
    const data = await ask("/api/screen", {
      symbol, start_ms: Math.max(0, range.start - pad), end_ms: range.end + pad,
      pixels: Math.max(16, Math.round(box.width * (1 + 2 * PAD))), height: Math.max(16, Math.round(box.height)),
    }, own.signal);
    data.asked_ms = span;
    Object.assign(view, { data, loadedVersion: version });
    for (const pane of panes) pane.show();
    header();
    trouble(null);
    shown();
  } catch (error) {
    trouble(error);
  }
}

// Tell whoever measures that the frame with this range is on the screen.
function shown() {
  const { start, end } = view.range;
  requestAnimationFrame(() => {
    window.ofiView.shown = { start, end, symbol: view.symbol, at: performance.now() };
    document.documentElement.dataset.shown = `${view.symbol}:${start}-${end}`;
  });
}

function header() {
  const { range, data, follow, kind } = view;
  $("range").textContent = `${time(range.start)} to ${time(range.end).slice(time(range.start).slice(0, 10) === time(range.end).slice(0, 10) ? 11 : 0)} UTC`;
  $("bucket").textContent = data ? `${length(range.end - range.start)}, ${length(data.width_ms)} a point, bars of ${length(data.bar_ms)}` : "";
  $("follow").setAttribute("aria-pressed", String(follow));
  $("kind").textContent = kind;
}

const dimensions = () => `${innerWidth}x${innerHeight}x${devicePixelRatio}`;

function layout() {
  laid = dimensions();
  view.colors = draw.theme();
  draw.forget();
  const host = $("panes");
  host.replaceChildren();
  panes.forEach((pane) => pane.chart?.destroy());
  panes = view.panes.map((name) => new Pane(name, host, view));
  const width = host.clientWidth, room = host.clientHeight - 26 - panes.length;
  const heights = share(room);
  panes.forEach((pane, i) => {
    const last = i === panes.length - 1;
    pane.build(width, heights[i] + (last ? 26 : 0), last);
    listen(pane);
  });
  overview.build(width);
  if (view.range) for (const pane of panes) pane.move();
  if (view.data) for (const pane of panes) pane.show();
}

// Share the height out by weight; what the small panes need at least comes out of the largest.
function share(room) {
  const weights = panes.reduce((sum, pane) => sum + pane.spec.weight, 0);
  const heights = panes.map((pane) => Math.max(58, Math.floor((room * pane.spec.weight) / weights)));
  const over = heights.reduce((sum, height) => sum + height, 0) - room;
  const largest = heights.indexOf(Math.max(...heights));
  if (over > 0) heights[largest] = Math.max(Math.min(120, heights[largest]), heights[largest] - over);
  return heights;
}

function listen(pane) {
  const over = pane.chart.over;
  over.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { start, end } = view.range, span = end - start;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const move = ((event.deltaX || event.deltaY) / over.clientWidth) * span;
      return go(start + move, end + move, 60);
    }
    zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 240))), pane.chart.posToVal(event.offsetX, "x"), 60);
  }, { passive: false });
  let from = null;
  over.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    from = { x: event.clientX, ...view.range };
    over.setPointerCapture(event.pointerId);
  });
  over.addEventListener("pointermove", (event) => {
    if (from) {
      const move = ((from.x - event.clientX) / over.clientWidth) * (from.end - from.start);
      if (Math.abs(from.x - event.clientX) > 2) unfollow();
      go(from.start + move, from.end + move, null);
    } else if (pane.name === "price") point(event, pane.chart);
  });
  const drop = (event) => {
    if (from && Math.abs(from.x - event.clientX) > 2) load();
    from = null;
  };
  over.addEventListener("pointerup", drop);
  over.addEventListener("pointercancel", drop);
  over.addEventListener("pointerleave", () => ($("tip").hidden = true));
  over.addEventListener("dblclick", (event) => zoom(0.25, pane.chart.posToVal(event.offsetX, "x"), 0));
}

// Say what the events under the pointer are.
function point(event, chart) {
  const near = (view.data?.events ?? [])
    .map((one) => [Math.abs(chart.valToPos(one.ts_ms, "x") - event.offsetX), one])
    .filter(([far]) => far < 7).sort((a, b) => a[0] - b[0]).slice(0, 4);
  const tip = $("tip");
  tip.hidden = !near.length;
  if (!near.length) return;
  tip.replaceChildren(...near.map(([, one]) => describe(one)));
  const right = event.clientX > innerWidth / 2;
  tip.style.left = right ? "auto" : `${event.clientX + 14}px`;
  tip.style.right = right ? `${innerWidth - event.clientX + 14}px` : "auto";
  tip.style.top = `${Math.min(event.clientY + 12, innerHeight - tip.offsetHeight - 8)}px`;
}

function describe(one) {
  const box = document.createElement("div");
  const title = document.createElement("p");
  const name = document.createElement("b");
  name.textContent = one.event_type.replaceAll("_", " ");
  title.append(name, ` ${time(one.ts_ms)}${one.n > 1 ? ` and ${one.n - 1} more` : ""}${one.suspect ? " (suspect)" : ""}`);
  const table = document.createElement("table");
  for (const [key, value] of Object.entries(JSON.parse(one.meta_json))) {
    const row = table.insertRow();
    row.insertCell().textContent = key.replace(/_?ts_ms$/, " time").replaceAll("_", " ").trim();
    row.insertCell().textContent = key.endsWith("ts_ms") ? time(value) : typeof value === "number" ? number(value) : value;
  }
  box.append(title, table);
  return box;
}

function unfollow() {
  view.follow = false;
  header();
}

function zoom(factor, around, delay) {
  const { start, end } = view.range;
  const at = around ?? (view.follow ? end : (start + end) / 2);
  go(at - (at - start) * factor, at + (end - at) * factor, delay);
}

function pan(share) {
  const { start, end } = view.range, move = (end - start) * share;
  unfollow();
  go(start + move, end + move, 0);
}

function center(ms, delay = 0) {
  const half = (view.range.end - view.range.start) / 2;
  unfollow();
  go(ms - half, ms + half, delay);
}

async function next(what, back) {
  const { start, end } = view.range;
  const last = view.found?.what === what && view.found.shown === `${start}-${end}` ? view.found.at : Math.round((start + end) / 2);
  try {
    const { found } = await ask("/api/next", { symbol: view.symbol, what, at_ms: Math.max(0, last), back: back ? 1 : 0 });
    if (!found) return trouble(new Error(`no ${what} ${back ? "before" : "after"} this`));
    trouble(null);
    const at = found.ts_ms ?? found.start_ms;
    center(found.ts_ms ?? (found.start_ms + found.end_ms) / 2);
    view.found = { what, at, shown: `${view.range.start}-${view.range.end}` };
  } catch (error) {
    trouble(error);
  }
}

async function choose(symbol) {
  view.symbol = symbol;
  $("symbol").value = symbol;
  document.title = `${symbol} - ofi view`;
  view.found = null;
  go(view.range.start, view.range.end, 0);
  overview.show(await ask("/api/overview", { symbol }));
}

function whole() {
  const { start_ms, end_ms } = view.span();
  unfollow();
  go(start_ms, end_ms, 0);
}

function follow(on) {
  view.follow = on;
  if (on) toEnd();
  header();
}

function toEnd() {
  const span = view.range.end - view.range.start, { end_ms } = view.span();
  go(end_ms + span * 0.03 - span, end_ms + span * 0.03, 0);
}

// While following, ask twice a second whether there is more.
async function watch() {
  try {
    if (view.follow && !document.hidden) {
      const symbol = view.symbol ?? (await refresh());
      const news = symbol && (await ask("/api/news", { symbol }));
      if (news && news.version !== view.version && symbol === view.symbol) {
        view.version = news.version;
        view.dataset.symbols[symbol] = news;
        toEnd();
        overview.show(await ask("/api/overview", { symbol }));
      }
    }
  } catch (error) {
    trouble(error);
  }
  setTimeout(watch, 500);
}

async function refresh() {
  const dataset = await ask("/api/dataset", {});
  if (Object.keys(dataset.symbols).length) {
    view.range = null;
    await open(dataset);
  }
  return view.symbol;
}

function rotate() {
  const names = Object.keys(view.dataset.symbols);
  choose(names[(names.indexOf(view.symbol) + 1) % names.length]);
}

function toggleKind() {
  view.kind = view.kind === "candles" ? "mid" : "candles";
  for (const pane of panes) pane.show();
  header();
  view.remember();
  shown();
}

const KEYS = {
  ArrowLeft: (event) => pan(event.shiftKey ? -1 : -0.25), ArrowRight: (event) => pan(event.shiftKey ? 1 : 0.25),
  "+": () => zoom(0.5, null, 0), "=": () => zoom(0.5, null, 0), "-": () => zoom(2, null, 0), _: () => zoom(2, null, 0),
  e: () => next("event", false), E: () => next("event", true), g: () => next("gap", false), G: () => next("gap", true),
  t: () => jump(), s: rotate, f: () => follow(!view.follow), k: toggleKind, h: whole, "?": () => $("help").showModal(),
};

function jump() {
  $("when").value = time((view.range.start + view.range.end) / 2);
  $("jump").showModal();
  $("when").select();
}

function wire() {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select") || document.querySelector("dialog[open]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    event.preventDefault();
    KEYS[event.key](event);
  });
  $("symbol").addEventListener("change", (event) => (choose(event.target.value), event.target.blur()));
  $("kind").addEventListener("click", toggleKind);
  $("follow").addEventListener("click", () => follow(!view.follow));
  $("ask").addEventListener("click", () => $("help").showModal());
  $("jump").querySelector("form").addEventListener("submit", (event) => {
    const ms = parse($("when").value);
    $("unclear").textContent = ms == null ? "expected a time such as 2026-01-05 12:30" : "a date, a date and time, or milliseconds";
    if (ms == null) event.preventDefault();
    else center(ms);
  });
  let size = 0;
  new ResizeObserver(() => {
    clearTimeout(size);
    size = setTimeout(() => laid && laid !== dimensions() && (layout(), load()), 80);
  }).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => laid && (layout(), legend()));
}

function choices() {
  $("choices").replaceChildren(...Object.entries(PANES).filter(([, spec]) => !spec.needs || view.dataset[spec.needs]).map(([name, spec]) => {
    const label = document.createElement("label"), box = document.createElement("input");
    Object.assign(box, { type: "checkbox", checked: view.panes.includes(name), value: name });
    box.addEventListener("change", () => {
      const on = [...$("choices").querySelectorAll("input:checked")].map((one) => one.value);
      view.panes = on.length ? on : ["price"];
      layout();
      load();
    });
    label.append(box, ` ${spec.title}`);
    return label;
  }));
}

function legend() {
  const names = { pivot_high: "pivot high", pivot_low: "pivot low", divergence: "divergence", anomaly: "anomaly", conflict: "conflict of flows" };
  $("marks").replaceChildren(...Object.entries(names).map(([type, text]) => {
    const item = document.createElement("li"), canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [14, 14];
    const pen = canvas.getContext("2d");
    pen.fillStyle = view.colors[draw.family(type)];
    draw.mark(pen, type, 7, 7, 5);
    item.append(canvas, ` ${text}`);
    return item;
  }));
}

async function open(dataset) {
  view.settle(dataset);
  const names = Object.keys(dataset.symbols);
  $("symbol").replaceChildren(...names.map((name) => new Option(name, name)));
  if (!names.length) return trouble(new Error(`${dataset.name} has no rows yet${dataset.follow ? "; waiting for them" : ""}`));
  $("symbol").value = view.symbol;
  document.title = `${view.symbol} - ofi view`;
  choices();
  header(); // before the layout, which takes the height that is left
  layout();
  legend();
  if (view.follow) view.version = (await ask("/api/news", { symbol: view.symbol })).version;
  await load();
  overview.show(await ask("/api/overview", { symbol: view.symbol }));
}

window.ofiView = { view, get panes() { return panes; }, get requests() { return requests; }, go, bucketAt, LEAST_MS, shown: null };
wire();
ask("/api/dataset", {}).then(open).then(watch, trouble);
