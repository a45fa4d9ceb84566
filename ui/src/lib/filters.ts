import { time } from "./format";
import { place, setQuery } from "./router";

const NAMES = [
  "q",
  "result",
  "delivery",
  "model",
  "provider",
  "name",
  "tag",
  "meta",
  "thread",
  "run",
  "root",
  "since",
  "until",
  "slower",
  "status_code",
  "error",
];
const EXCLUDABLE = ["result", "delivery", "model", "provider", "name", "tag", "meta"];
const SINGLE = new Set(["q", "thread", "run", "root", "since", "until", "slower"]);
export const FILTERS = new Set([...NAMES, ...EXCLUDABLE.map((name) => `not.${name}`)]);

/** The filters of a place, as the server takes them. */
export function filtersOf(query: URLSearchParams): URLSearchParams {
  return new URLSearchParams([...query].filter(([name, value]) => FILTERS.has(name) && value));
}

/** Search in texts, which the server reports while it searches. Ids and request ids are looked up. */
export function isText(q: string): boolean {
  return !!q && !/^#\d+$/.test(q) && !/^[0-9a-f-]{8,36}$/i.test(q);
}

export function addFilter(name: string, value: string, exclude = false): void {
  const key = exclude && EXCLUDABLE.includes(name) ? `not.${name}` : name;
  const values = SINGLE.has(key) ? [] : place().query.getAll(key);
  if (!values.includes(value)) setQuery({ [key]: [...values, value], before: null, page: null });
}

export function removeFilter(name: string, value: string): void {
  const values = place()
    .query.getAll(name)
    .filter((one) => one !== value);
  setQuery({ [name]: values, before: null, page: null });
}

export function clearFilters(): void {
  const names = new Set([...place().query.keys()].filter((name) => FILTERS.has(name)));
  setQuery({ ...Object.fromEntries([...names].map((name) => [name, null])), before: null, page: null });
}

const LABELS: Record<string, string> = {
  q: "text",
  meta: "metadata",
  since: "from",
  until: "until",
  slower: "slower than",
  status_code: "status",
  thread: "conversation",
  root: "trace",
};

/** A filter in words: `not model: gpt-4o`. */
export function filterLabel(name: string, value: string): [string, string] {
  const bare = name.replace("not.", "");
  const label = `${name === bare ? "" : "not "}${LABELS[bare] ?? bare}`;
  if (bare === "slower") return [label, `${value} ms`];
  if ((bare === "since" || bare === "until") && /^\d{6,}$/.test(value)) return [label, time(Number(value))];
  if (bare === "since") return ["last", value];
  return [label, value];
}
