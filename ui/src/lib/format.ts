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
export const short = (n: number) => (n < 10_000 ? counts.format(n) : compact.format(n));
export const plural = (n: number, noun: string) => `${counts.format(n)} ${noun}${n === 1 ? "" : "s"}`;
export const cost = (usd: number | null | undefined) =>
  usd == null ? "" : usd > 0 && usd < 0.1 ? smallDollars.format(usd) : dollars.format(usd);

/** A duration in µs: `3.1 ms`, `431 ms`, `1.25 s`, `2 min 5 s`. */
export function duration(us: number | null | undefined): string {
  if (us == null) return "";
  const seconds = us / 1e6;
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

export function size(bytes: number): string {
  let value = bytes;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 1000 || unit === "GB") return unit === "B" ? `${value} B` : `${value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return "";
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
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} %`;
}

export function json(value: unknown): string {
  try {
    return JSON.stringify(value, null, 2) ?? "null";
  } catch {
    return "The value is too deep for the browser. Download it.";
  }
}
