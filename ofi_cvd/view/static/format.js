// Numbers and times as text; all times are UTC.
const pad = (n, width = 2) => String(n).padStart(width, "0");

export function time(ms, step = 1000) {
  const d = new Date(ms);
  const day = `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())}`;
  const clock = `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}:${pad(d.getUTCSeconds())}`;
  return `${day} ${clock}${step < 1000 ? "." + pad(d.getUTCMilliseconds(), 3) : ""}`;
}

export function length(ms) {
  for (const [unit, size] of [["d", 864e5], ["h", 36e5], ["min", 6e4], ["s", 1e3]]) {
    if (ms >= size) return `${+(ms / size).toFixed(ms % size ? 1 : 0)} ${unit}`;
  }
  return `${ms} ms`;
}

const exact = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 8 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 4 });

export function number(value) {
  return value == null ? "not known" : exact.format(value);
}

// What an axis says: enough digits to tell its own steps apart, and no more.
export function axis(values, step) {
  const digits = Math.max(0, Math.min(8, Math.ceil(-Math.log10(step || 1) - 1e-9)));
  const plain = new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return values.map((v) => (v == null ? "" : Math.abs(v) >= 1e6 ? short.format(v) : plain.format(v)));
}

// Text of a person as milliseconds; null where it is no time.
export function parse(text) {
  const plain = text.trim();
  if (/^\d{12,14}$/.test(plain)) return Number(plain);
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?))?Z?$/.exec(plain);
  const ms = match ? Date.parse(`${match[1]}T${match[2] || "00:00"}Z`) : NaN;
  return Number.isNaN(ms) ? null : ms;
}

// What the time axis says: the clock, and the day where a day begins.
export function clock(ms, step) {
  if (ms % 864e5 === 0 || step >= 864e5) return time(ms).slice(5, 10);
  return step >= 6e4 ? time(ms).slice(11, 16) : step >= 1e3 ? time(ms).slice(11, 19) : time(ms, 1).slice(17, 23);
}
