// The JSON of the server: docs/reference/ui.md describes each field.

export type Result = "ok" | "error" | "cancelled" | "cut short" | "interrupted" | "running";
export type Delivery =
  "waiting" | "sending" | "unclear" | "sent" | "refused" | "held" | "dropped" | "carried" | "received";

export interface Tokens {
  input: number;
  output: number;
  cached?: number | null;
}

export interface Fact {
  id: string;
  short: string;
  seq: number;
  kind: string;
  is_run: boolean;
  name: string | null;
  model: string | null;
  provider: string | null;
  class_name: string | null;
  started_ms: number;
  took_us: number | null;
  first_token_us: number | null;
  result: Result;
  status_code: number | null;
  error: string | null;
  error_message: string | null;
  tokens: Tokens | null;
  cost: number | null;
  delivery: Delivery;
  request_id: number | null;
  server: string | null;
  tags: string[];
  marks: string[];
  thread: string | null;
  root_id: string | null;
  parent_id: string | null;
  input: string | null;
  output: string | null;
  metadata?: Record<string, unknown>;
  hidden?: boolean;
}

export interface Folded {
  href: string;
  bytes: number;
}

export interface Text {
  text: string;
  chars: number;
  folded?: Folded;
  hidden?: boolean;
}

export type Value = { json?: unknown; text?: string; folded?: Folded; hidden?: boolean; bytes?: number };

export interface Named {
  name: string;
  value: Value;
}

export interface ToolCall {
  id: string | null;
  name: string;
  args: Value;
  valid: boolean;
  error: string | null;
  answer: number | null;
}

export type Part =
  | { kind: "text" | "thinking" | "refusal"; text: Text }
  | {
      kind: "media";
      n: number;
      mime: string;
      bytes: number;
      name: string | null;
      src: string;
      shows: "image" | "audio" | "video" | null;
    }
  | { kind: "link"; mime: string | null; url: string; name: string | null }
  | { kind: "json"; value: Value };

export interface Message {
  role: string;
  name: string | null;
  parts: Part[];
  tool_calls: ToolCall[];
  tool_call_id: string | null;
  answers: { message: number; call: number } | null;
  status: string | null;
  chars: number;
  id: string | null;
  extra: Value | null;
}

export interface Output {
  message: Message;
  finish_reason: string | null;
}

export interface FollowUp {
  number: number;
  op: string;
  payload: Record<string, unknown>;
  state: string;
  word: "waiting" | "refused" | "sent";
  queued_ms: number | null;
  sent_ms: number | null;
  last_error: string | null;
  attempts: number;
  request_id: number | null;
  record_id?: string | null;
}

export interface Stream {
  pieces: number;
  times_us: number[];
  first_us: number | null;
  gap: { from_us: number; to_us: number } | null;
}

export interface Call extends Fact {
  run_id: string | null;
  parent_run_id: string | null;
  trace_id: string;
  span_id: string;
  size: number;
  messages: Message[];
  outputs: Output[];
  error_detail: {
    type: string;
    message: Text;
    status_code: number | null;
    module: string | null;
    body: Text | null;
    headers: Record<string, unknown> | null;
    request_id: string | null;
  } | null;
  settings: Named[];
  settings_hidden: Named[];
  tools: { name: string; description: Text | null; schema: Value }[];
  metadata_all: Named[];
  metadata_hidden: Named[];
  stream: Stream | null;
  delivery_detail: {
    state: string;
    word: string;
    note: string;
    attempts: number;
    last_error: string | null;
    due_ms: number | null;
    acked_ms: number | null;
    lane: number;
    renewed: boolean;
    server: string | null;
    request_id: number | null;
    sink: string | null;
    sink_state: "waiting" | "delivered" | "dead" | null;
    command: string;
  };
  followups: FollowUp[];
  run: { input: Value | null; output: Value | null; tool_call_id: string | null } | null;
  tree: { root_id: string; name: string | null; runs: number } | null;
  earlier: { same: number; as: string } | null;
  content_note: string | null;
  result_note: string | null;
  damage: string | null;
}

export interface JournalInfo {
  version: string;
  path: string;
  name: string;
  id: string;
  records: number;
  open: number;
  runs: number;
  last_seq: number;
  read_only: boolean;
  hide_content: boolean;
  prices: boolean;
  writable: boolean;
  now_ms: number;
  delivery: Record<Delivery, number>;
  followups: { waiting: number; refused: number; sent: number };
  callbacks: { waiting: number; dead: number };
  sender: Sender | null;
  digests: { counted: number; total: number };
  notes: string[];
}

export interface Sender {
  pid: number;
  activity: string;
  since_ms: number;
}

export interface CallPage {
  calls: Fact[];
  next: string | null;
  complete: boolean;
  searched: number | null;
}

export interface FacetValue {
  value: string;
  count: number;
}

export interface Facets {
  result: FacetValue[];
  delivery: FacetValue[];
  model: FacetValue[];
  tag: FacetValue[];
  provider: FacetValue[];
  name: FacetValue[];
  thread_count: number;
  metadata_keys: string[];
  exact: boolean;
  more?: Record<string, number>;
}

export interface Histogram {
  from_ms: number;
  to_ms: number;
  bucket_ms: number;
  buckets: { start_ms: number; calls: number; errors: number }[];
  exact: boolean;
}

export interface Sums {
  calls: number;
  errors: number;
  cached: number;
  without_tokens: number;
  input_tokens: number;
  output_tokens: number;
  cached_tokens: number;
  p50_us: number | null;
  p95_us: number | null;
  first_token_p50_us: number | null;
  cost: number | null;
}

export interface Usage {
  by: string;
  step: "day" | "hour";
  groups: (Sums & { name: string })[];
  total: Sums;
  series: (Sums & { start_ms: number })[];
  counted: number;
  records: number;
  pending: number;
  complete: boolean;
  unpriced: string[];
  prices: boolean;
}

export interface TreeRun {
  id: string;
  parent_id: string | null;
  depth: number;
  kind: string;
  is_call: boolean;
  name: string | null;
  model: string | null;
  result: Result;
  status_code: number | null;
  error: string | null;
  offset_us: number;
  took_us: number | null;
  tokens: Tokens | null;
  cost: number | null;
  tool_call_id: string | null;
  input: string | null;
  output: string | null;
  delivery: Delivery;
  request_id: number | null;
}

export interface Tree {
  root_id: string;
  name: string | null;
  took_us: number | null;
  started_ms: number;
  runs: TreeRun[];
  truncated: boolean;
}

export interface Comparison {
  a: Call;
  b: Call;
  settings: { name: string; a: Value | null; b: Value | null; same: boolean }[];
  tools: { added: string[]; removed: string[]; changed: string[] };
  messages: { a: number | null; b: number | null; same: boolean }[];
}

export interface Conversation {
  kind: "thread" | "tree";
  key: string;
  title: string | null;
  calls: number;
  errors: number;
  undelivered: number;
  tokens: Tokens | null;
  cost: number | null;
  first_ms: number;
  last_ms: number;
  model: string | null;
  calls_exact: boolean;
}

export interface Turn {
  call: Fact;
  messages: Message[];
  outputs: Output[];
  earlier: number;
  followups: FollowUp[];
}

export interface ReasonGroup {
  reason: string;
  count: number;
  ids: string[];
  newest_ms: number;
}

export interface DeliveryInfo {
  counts: Record<Delivery, number>;
  oldest_waiting_ms: number | null;
  next_step: string | null;
  servers: {
    url: string;
    key: string | null;
    acked: number;
    in_doubt: number;
    bound: boolean;
    stand_in: boolean;
    first_ms: number | null;
    last_ms: number | null;
  }[];
  sender: Sender | null;
  last_run: {
    url: string;
    pid: number;
    began_ms: number;
    ended_ms: number | null;
    outcome: string | null;
    reason: string | null;
    remedy: string | null;
  } | null;
  refused: ReasonGroup[];
  held: ReasonGroup[];
  exact: boolean;
  unclear_next_ms: number | null;
  callbacks: {
    sink: string;
    kind: string;
    waiting: number;
    owned: number;
    pids: number[];
    dead: number;
    last_error: string | null;
    way: string | null;
  }[];
  followups: {
    waiting: number;
    stranded: number;
    refused_count: number;
    refused: FollowUp[];
    waiting_list: FollowUp[];
    sent: number;
  };
  journal: {
    lmdb_bytes: number;
    used_bytes: number;
    spool_bytes: number;
    quota: { max_bytes: number | null; max_age: number | null; policy: string | null; over: boolean } | null;
    pruned: number;
    dropped: number;
    forgotten: number;
    writers: { pid: number; alive: boolean; events: number; failures: number; started_ms: number }[];
    failures: number;
    last_failure: string | null;
    damaged: number;
    disk_free: number | null;
  };
}

export interface CheckReport {
  ok: boolean;
  frames: number;
  records: number;
  events: number;
  problems: { where: string; what: string; kept: string | null }[];
  notes: string[];
}

export interface Prompt {
  name: string;
  version: number | null;
  label: string | null;
  url: string | null;
  fetched_ms: number | null;
  type: "chat" | "text";
  messages: { role: string; text: Text }[];
  variables: string[];
  model: string | null;
  calls: { record_id: string; request_id: number | null; version: number | null; label: string | null }[];
  calls_count: number;
}

export interface Archive {
  format: number;
  version: string;
  made_ms: number;
  journal: { path: string; name: string; id: string };
  query: string;
  count: number;
  hide_content: boolean;
  calls: Fact[];
  details: Record<string, Call>;
  trees: Record<string, Tree>;
  media: Record<string, { mime: string; base64: string }>;
}

export type LiveEvent =
  | { type: "hello"; seq: number }
  | { type: "new"; call: Fact; seq: number }
  | { type: "changed"; call: Fact }
  | ({ type: "journal" } & Partial<JournalInfo>)
  | { type: "more"; count: number; seq: number }
  | { type: "ping" }
  | { type: "error"; error: { code: string; message: string } };

export type SearchEvent =
  | { type: "hit"; call: Fact }
  | { type: "progress"; searched: number; total: number; at_ms: number | null }
  | { type: "end"; complete: boolean; next: string | null };
