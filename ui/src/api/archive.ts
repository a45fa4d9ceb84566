// The data of an exported file, which answers the requests that otherwise go to the server.
import type { Archive, Call, CallPage, Comparison, Facets, FacetValue, Fact, Histogram, Value } from "./types";

export const archive: Archive | null = (() => {
  const element = document.getElementById("plsync-data");
  return element ? (JSON.parse(element.textContent ?? "") as Archive) : null;
})();

const RESULTS = ["ok", "error", "cancelled", "cut short", "interrupted", "running"];
const DELIVERIES = ["waiting", "sending", "unclear", "sent", "refused", "held", "carried", "received", "dropped"];
const texts = new Map<string, string>();

type Field = (fact: Fact) => (string | null)[];

const FIELDS: Record<string, Field> = {
  result: (fact) => [fact.result],
  delivery: (fact) => [fact.delivery],
  model: (fact) => [fact.model],
  provider: (fact) => [fact.provider],
  name: (fact) => [fact.name],
  tag: (fact) => fact.tags,
  error: (fact) => [fact.error],
  status_code: (fact) => [fact.status_code === null ? null : String(fact.status_code)],
};

function text(fact: Fact): string {
  const known = texts.get(fact.id);
  if (known !== undefined) return known;
  const call = archive?.details[fact.id];
  const found = JSON.stringify(
    call ? [call.messages, call.outputs, call.error_detail] : [fact.input, fact.output],
  ).toLowerCase();
  texts.set(fact.id, found);
  return found;
}

function finds(fact: Fact, q: string): boolean {
  if (/^#\d+$/.test(q)) return fact.request_id === Number(q.slice(1));
  const digits = q.replaceAll("-", "").toLowerCase();
  if (/^[0-9a-f]{8,32}$/.test(digits)) {
    const call = archive?.details[fact.id];
    const ids = [fact.id, fact.root_id, call?.run_id].map((id) => (id ?? "").replaceAll("-", ""));
    if (ids.some((id) => id.startsWith(digits) || id.endsWith(digits))) return true;
  }
  return text(fact).includes(JSON.stringify(q).slice(1, -1).toLowerCase());
}

function plain(value: Value | undefined): string {
  return typeof value?.json === "string" ? value.json : JSON.stringify(value?.json ?? null);
}

function passes(fact: Fact, query: URLSearchParams, without = ""): boolean {
  for (const [name, value] of query) {
    const field = FIELDS[name.replace("not.", "")];
    if (name === without) continue;
    if (field && name.startsWith("not.")) {
      if (field(fact).includes(value)) return false;
    } else if (name === "tag") {
      if (!fact.tags.includes(value)) return false;
    } else if (field) {
      if (!query.getAll(name).some((one) => field(fact).includes(one))) return false;
    } else if (name === "since" || name === "until") {
      if (fact.started_ms < Number(value) === (name === "since")) return false;
    } else if (name === "slower") {
      if (fact.took_us === null || fact.took_us <= Number(value) * 1000) return false;
    } else if (name === "thread" ? fact.thread !== value : name === "root" ? fact.root_id !== value : false) {
      return false;
    } else if (name === "meta" || name === "not.meta") {
      const at = value.indexOf("=");
      const entries = archive?.details[fact.id]?.metadata_all ?? [];
      const found = entries.some((one) => one.name === value.slice(0, at) && plain(one.value) === value.slice(at + 1));
      if (found === (name === "not.meta")) return false;
    } else if (name === "q" && !finds(fact, value)) {
      return false;
    }
  }
  return true;
}

function found(query: URLSearchParams, without = ""): Fact[] {
  return (archive?.calls ?? []).filter((fact) => passes(fact, query, without));
}

const ORDERS: Record<string, (fact: Fact) => number | null> = {
  time: (fact) => fact.started_ms,
  took: (fact) => fact.took_us,
  tokens: (fact) => (fact.tokens ? fact.tokens.input + fact.tokens.output : null),
  first_token: (fact) => fact.first_token_us,
  cost: (fact) => fact.cost,
};

function calls(query: URLSearchParams): CallPage {
  const ids = query.get("ids")?.split(",");
  const by = ORDERS[query.get("sort") ?? "time"] ?? ((fact: Fact) => fact.started_ms);
  const sign = query.get("order") === "asc" ? 1 : -1;
  const value = (fact: Fact) => by(fact) ?? -Infinity * sign;
  const all = ids
    ? (archive?.calls ?? []).filter((fact) => ids.includes(fact.id))
    : found(query).sort((a, b) => (value(a) - value(b) || a.seq - b.seq) * sign);
  const from = Number(query.get("before") ?? 0);
  const to = from + Number(query.get("limit") ?? 50);
  return { calls: all.slice(from, to), next: to < all.length ? String(to) : null, complete: true, searched: null };
}

function facet(query: URLSearchParams, name: string, fixed: string[] = []): FacetValue[] {
  const numbers = new Map(fixed.map((value) => [value, 0]));
  const field = FIELDS[name] as Field;
  for (const fact of found(query, name))
    for (const value of field(fact)) if (value !== null) numbers.set(value, (numbers.get(value) ?? 0) + 1);
  const values = [...numbers].map(([value, count]) => ({ value, count }));
  return fixed.length ? values : values.sort((a, b) => b.count - a.count).slice(0, 100);
}

function facets(query: URLSearchParams): Facets {
  const keys = Object.values(archive?.details ?? {}).flatMap((call) => call.metadata_all.map((one) => one.name));
  return {
    result: facet(query, "result", RESULTS),
    delivery: facet(query, "delivery", DELIVERIES),
    model: facet(query, "model"),
    tag: facet(query, "tag"),
    provider: facet(query, "provider"),
    name: facet(query, "name"),
    thread_count: 0,
    metadata_keys: [...new Set(keys)].sort(),
    exact: true,
  };
}

function histogram(query: URLSearchParams): Histogram {
  const all = found(query);
  const times = all.map((fact) => fact.started_ms);
  const from = times.reduce((a, b) => Math.min(a, b), Infinity);
  const to = times.reduce((a, b) => Math.max(a, b), -Infinity) + 1;
  const number = Number(query.get("buckets") ?? 60);
  const width = Math.max(1, Math.ceil((to - from) / number));
  const buckets = all.length
    ? Array.from({ length: number }, (_, i) => ({ start_ms: from + i * width, calls: 0, errors: 0 }))
    : [];
  for (const fact of all) {
    const bucket = buckets[Math.floor((fact.started_ms - from) / width)];
    if (!bucket) continue;
    bucket.calls++;
    if (fact.result === "error") bucket.errors++;
  }
  return { from_ms: all.length ? from : 0, to_ms: all.length ? to : 0, bucket_ms: width, buckets, exact: true };
}

function compare(query: URLSearchParams): Comparison {
  const [a, b] = ["a", "b"].map((side) => call(query.get(side) ?? "")) as [Call, Call];
  const names = [...new Set([...a.settings, ...b.settings].map((one) => one.name))];
  const of = (from: Call, name: string) => from.settings.find((one) => one.name === name)?.value ?? null;
  const tools = (from: Call) => new Map(from.tools.map((tool) => [tool.name, JSON.stringify(tool)]));
  const [left, right] = [tools(a), tools(b)];
  const form = (from: Call, i: number) =>
    JSON.stringify([from.messages[i]?.role, from.messages[i]?.parts, from.messages[i]?.tool_calls]);
  const messages = Array.from({ length: Math.max(a.messages.length, b.messages.length) }, (_, i) => ({
    a: i < a.messages.length ? i : null,
    b: i < b.messages.length ? i : null,
    same: form(a, i) === form(b, i),
  }));
  return {
    a,
    b,
    settings: names.map((name) => ({
      name,
      a: of(a, name),
      b: of(b, name),
      same: JSON.stringify(of(a, name)) === JSON.stringify(of(b, name)),
    })),
    tools: {
      added: [...right.keys()].filter((name) => !left.has(name)),
      removed: [...left.keys()].filter((name) => !right.has(name)),
      changed: [...left.keys()].filter((name) => right.has(name) && right.get(name) !== left.get(name)),
    },
    messages,
  };
}

function call(id: string): Call {
  const details = archive?.details ?? {};
  const found =
    details[id] ?? details[Object.keys(details).find((one) => one.startsWith(id) || one.endsWith(id)) ?? ""];
  if (!found) throw new Error(`The file has no record ${id}: it holds calls alone.`);
  return found;
}

function journal() {
  const none = { waiting: 0, refused: 0, sent: 0 };
  return {
    version: archive?.version,
    ...archive?.journal,
    records: archive?.count,
    open: 0,
    runs: 0,
    last_seq: 0,
    read_only: true,
    hide_content: archive?.hide_content,
    prices: archive?.calls.some((fact) => fact.cost !== null),
    writable: false,
    now_ms: archive?.made_ms,
    delivery: Object.fromEntries(DELIVERIES.map((word) => [word, 0])),
    followups: none,
    callbacks: { waiting: 0, dead: 0 },
    sender: null,
    digests: { counted: 1, total: 1 },
    notes: [],
  };
}

export function fromArchive(path: string): unknown {
  const at = new URL(path, "http://page");
  const [, , what, id = "", more = ""] = at.pathname.split("/");
  if (what === "calls" && id) {
    const known = decodeURIComponent(id);
    if (more === "tree" && archive?.trees[known]) return archive.trees[known];
    const one = call(known);
    if (!more) return one;
    if (more === "raw") return JSON.stringify(one, null, 2);
    if (more === "tree" && archive?.trees[one.root_id ?? one.id]) return archive.trees[one.root_id ?? one.id];
    if (more === "same") return { calls: [], complete: true };
  }
  if (what === "journal") return journal();
  if (what === "calls") return calls(at.searchParams);
  if (what === "count") return { count: found(at.searchParams).length, exact: true };
  if (what === "facets") return facets(at.searchParams);
  if (what === "histogram") return histogram(at.searchParams);
  if (what === "compare") return compare(at.searchParams);
  throw new Error("The exported file does not have these data.");
}

export function mediaFromArchive(path: string): Blob {
  const kept = archive?.media[path.replace("/api/media/", "")];
  if (!kept) throw new Error("The exported file does not have this medium.");
  return new Blob([Uint8Array.from(atob(kept.base64), (letter) => letter.charCodeAt(0))], { type: kept.mime });
}
