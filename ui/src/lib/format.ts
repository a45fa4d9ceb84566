// Numbers, times and sizes as text.

const counts = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const dollars = new Intl.NumberFormat("en", {
  style: "currency",
  currency: "USD",
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
});
const smallDollars = new Intl.NumberFormat("en", { style: "currency", currency: "USD", maximumSignificantDigits: 2 });

export const count = (n: number) => counts.format(n);
export const short = (n: number) => (n < 10_000 ? counts : compact).format(n);
export const plural = (n: number, noun: string) => `${counts.format(n)} ${noun}${n === 1 ? "" : "s"}`;
export const cost = (usd: number | null | undefined) =>
  usd == null ? "" : (usd > 0 && usd < 0.1 ? smallDollars : dollars).format(usd);

/** A duration in µs: `3.1 ms`, `431 ms`, `1.25 s`, `2 min 5 s`, `1 h 2 min`; as `plsync.journal.display.figures` has it. */
export function duration(us: number | null | undefined): string {
  if (us == null) return "";
  const fixed = (unit: number, digits: number) => (Math.round(us / unit) / 10 ** digits).toFixed(digits);
  const split = (unit: number, large: string, small: string) => {
    const all = Math.round(us / unit);
    return `${count((all - (all % 60)) / 60)} ${large} ${all % 60} ${small}`;
  };
  // Each limit is the value that its form would round to the next unit.
  if (us < 9_950) return `${fixed(100, 1)} ms`;
  if (us < 999_500) return `${fixed(1000, 0)} ms`;
  if (us < 59_995_000) return `${fixed(10_000, 2)} s`;
  return us < 3_599_500_000 ? split(1e6, "min", "s") : split(6e7, "h", "min");
}

export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  // A rounded value gets the unit that it reaches: 999,960 bytes are 1.0 MB.
  const [unit, scale] = bytes < 999_950 ? ["kB", 100] : bytes < 999_950_000 ? ["MB", 1e5] : (["GB", 1e8] as const);
  const tenths = Math.round(bytes / scale);
  return `${count(Math.floor(tenths / 10))}.${tenths % 10} ${unit}`;
}

const pad = (n: number, width = 2) => String(n).padStart(width, "0");

export function clock(ms: number): string {
  const at = new Date(ms);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

export function day(ms: number): string {
  const at = new Date(ms);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
}

/** The time of day; with the date if it is not today. */
export function time(ms: number, now = Date.now()): string {
  return day(ms) === day(now)
    ? clock(ms)
    : `${day(ms).slice(day(ms).slice(0, 4) === day(now).slice(0, 4) ? 5 : 0)} ${clock(ms)}`;
}

export function exact(ms: number): string {
  return `${day(ms)} ${clock(ms)}.${pad(new Date(ms).getMilliseconds(), 3)}`;
}

/** The time since: `12 s`, `5 min`, `3 h`, `2 d`. */
export function age(ms: number, now = Date.now()): string {
  const seconds = Math.max(0, Math.floor((now - ms) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

export const ago = (ms: number) => `${age(ms)} ago`;

export function tokens(t: { input: number; output: number } | null): string {
  return t ? `${count(t.input)} → ${count(t.output)}` : "";
}

/** Tokens of the answer per second after the first token. */
export function speed(output: number | undefined, tookUs: number | null, firstUs: number | null): string {
  if (!output || tookUs == null) return "";
  const seconds = (tookUs - (firstUs ?? 0)) / 1e6;
  return seconds > 0 ? `${count(Math.round(output / seconds))} tokens/s` : "";
}

export function percent(part: number, whole: number): string {
  if (!whole || !part) return "0 %";
  const value = (100 * part) / whole;
  return `${value.toFixed(value < 9.95 ? 1 : 0)} %`;
}

export function json(value: unknown): string {
  try {
    return JSON.stringify(value, null, 2) ?? "null";
  } catch {
    return "The value is too deep for the browser. Download it.";
  }
}
