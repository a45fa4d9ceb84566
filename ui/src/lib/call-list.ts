import { useEffect, useRef, useState } from "preact/hooks";
import { archive } from "../api/archive";
import { type ApiError, get, lines } from "../api/client";
import type { CallPage, Fact, LiveEvent, SearchEvent } from "../api/types";
import { filtersOf, isText } from "./filters";
import { asError, useNewest } from "./hooks";

export const PAGE = 50;
// A list with more rows is read again, so that the page stays light and its next page follows without a gap.
const MOST_ROWS = 70;

export interface CallList {
  calls: Fact[];
  next: string | null;
  error: ApiError | null;
  loading: boolean;
  /** Of a search that runs: the number of searched records, and of all records. */
  progress: { searched: number; total: number | null } | null;
  /** New calls that wait, because the list is not at its top. */
  fresh: Fact[];
  showFresh: () => void;
  stop: () => void;
  update: (call: Fact) => void;
}

interface State {
  key: string;
  calls: Fact[];
  next: string | null;
  error: ApiError | null;
  done: boolean;
  progress: { searched: number; total: number | null } | null;
}

const NOTHING: State = { key: "", calls: [], next: null, error: null, done: false, progress: null };

function without(calls: Fact[], fact: Fact): Fact[] {
  return calls.filter((one) => one.id !== fact.id);
}

/** The page of calls that a place shows. It fills while the server searches, and follows the journal when live. */
export function useCallList(
  query: URLSearchParams,
  columns: string[],
  live: boolean,
  isAtTop: () => boolean,
  round: number,
  changed: () => void,
): CallList {
  const filters = filtersOf(query);
  const asked = new URLSearchParams(filters);
  for (const name of ["before", "sort", "order"]) if (query.get(name)) asked.set(name, query.get(name) as string);
  asked.set("limit", String(PAGE));
  if (columns.length) asked.set("columns", columns.join(","));
  const byTime = (query.get("sort") ?? "time") === "time" && query.get("order") !== "asc";
  const key = `${asked}`;
  const [state, set] = useState<State>(NOTHING);
  const [fresh, setFresh] = useState<Fact[]>([]);
  const [again, setAgain] = useState(0);
  const stopper = useRef<AbortController | null>(null);

  useEffect(() => {
    const stop = new AbortController();
    stopper.current = stop;
    const over = () => stop.signal.aborted;
    setFresh([]);
    const load = async () => {
      let found: Fact[] = [];
      // The calls of the last page stay until the first new ones come.
      const show = (more: Partial<State>) =>
        over() || set((before) => ({ ...before, key, error: null, calls: found, ...more }));
      if (isText(query.get("q") ?? "") && byTime && !archive) {
        let shown = 0;
        for await (const event of lines<SearchEvent>(`/api/search?${asked}`, stop.signal)) {
          if (over()) return;
          if (event.type === "hit") found = [...found, event.call];
          if (event.type === "progress") show({ progress: event, done: false });
          else if (event.type === "end") show({ next: event.next, done: true, progress: null });
          else if (found.length - shown >= 5 || found.length === 1) show({ done: false });
          shown = found.length;
        }
        return show({ done: true, progress: null });
      }
      for (let before: string | null = query.get("before"), searched = 0; ;) {
        if (before) asked.set("before", before);
        asked.set("limit", String(PAGE - found.length));
        const page: CallPage = await get<CallPage>(`/api/calls?${asked}`, stop.signal);
        if (over()) return;
        found = [...found, ...page.calls];
        searched += page.searched ?? 0;
        if (page.complete || !page.next || found.length >= PAGE)
          return show({ next: page.next, done: true, progress: null });
        before = page.next;
        show({ next: null, done: false, progress: { searched, total: null } });
      }
    };
    load().catch(
      (error) =>
        over() ||
        set((before) => ({
          ...before,
          key,
          calls: before.key === key ? before.calls : [],
          error: asError(error),
          done: true,
          progress: null,
        })),
    );
    return () => stop.abort();
  }, [key, round, again]);

  const seq = useRef(-1);
  const onEvent = useNewest((event: LiveEvent) => {
    if ("seq" in event) seq.current = Math.max(seq.current, event.seq);
    if (event.type === "changed") {
      set((before) => ({
        ...before,
        calls: before.calls.map((one) => (one.id === event.call.id ? { ...one, ...event.call } : one)),
      }));
      setFresh((before) => before.map((one) => (one.id === event.call.id ? event.call : one)));
    } else if (event.type === "new" && byTime && !query.get("before")) {
      if (isAtTop() && state.calls.length >= MOST_ROWS) setAgain((n) => n + 1);
      else if (isAtTop()) set((before) => ({ ...before, calls: [event.call, ...without(before.calls, event.call)] }));
      else setFresh((before) => [event.call, ...without(before, event.call)].slice(0, 200));
    } else if (event.type === "more" && isAtTop()) setAgain((n) => n + 1);
    if (event.type === "new" || event.type === "changed" || event.type === "more") changed();
  });
  // The server reports the changes of the calls that this function returns, and of each new call.
  const follow = useNewest((): string => {
    const asked = new URLSearchParams(filters);
    if (seq.current < 0 && byTime && !query.get("before"))
      seq.current = state.calls.reduce((most, call) => Math.max(most, call.seq), 0);
    if (seq.current >= 0) asked.set("after", String(seq.current));
    if (state.calls.length)
      asked.set(
        "ids",
        state.calls
          .slice(0, 200)
          .map((call) => call.id)
          .join(","),
      );
    return `/api/events?${asked}`;
  });
  const q = query.get("q") ?? "";
  // No new call has the id or the request id of a search.
  const isReady = state.key === key && state.done && !state.error && (!q || isText(q));
  useEffect(() => {
    if (!live || archive || !isReady) return;
    const stop = new AbortController();
    const listen = async () => {
      for (let wait = 1000; !stop.signal.aborted; wait = Math.min(wait * 2, 15_000)) {
        try {
          for await (const event of lines<LiveEvent>(follow(), stop.signal)) {
            if (stop.signal.aborted) return;
            wait = 1000;
            onEvent(event);
          }
        } catch {
          // The server ended: the page connects again when it is back.
        }
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    };
    void listen();
    return () => {
      stop.abort();
      seq.current = -1;
    };
  }, [live, isReady, key, round, again]);

  return {
    calls: state.calls,
    next: state.next,
    error: state.error,
    loading: state.key !== key || !state.done,
    progress: state.progress,
    fresh,
    showFresh: () => setAgain((n) => n + 1),
    stop: () => {
      stopper.current?.abort();
      set((before) => ({ ...before, done: true, progress: null }));
    },
    update: (call) =>
      set((before) => ({
        ...before,
        calls: before.calls.map((one) => (one.id === call.id ? { ...one, ...call } : one)),
      })),
  };
}
