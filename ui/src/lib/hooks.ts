import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError, get } from "../api/client";

export interface Loaded<T> {
  data: T | null;
  error: ApiError | null;
  /** Whether a newer answer is on its way. */
  loading: boolean;
  reload: () => void;
  patch: (change: (data: T) => T) => void;
}

export function asError(error: unknown): ApiError {
  return error instanceof ApiError
    ? error
    : new ApiError("page", error instanceof Error ? error.message : String(error));
}

/** The JSON at a path. The data of the last path stays until the new data arrives, so that a page is never blank. */
export function useApi<T>(path: string | null): Loaded<T> {
  const [state, set] = useState<{ data: T | null; error: ApiError | null; path: string | null }>({
    data: null,
    error: null,
    path: null,
  });
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (path === null) {
      set({ data: null, error: null, path });
      return;
    }
    const stop = new AbortController();
    get<T>(path, stop.signal).then(
      (data) => stop.signal.aborted || set({ data, error: null, path }),
      (error) =>
        stop.signal.aborted ||
        set((before) => ({ data: before.path === path ? before.data : null, error: asError(error), path })),
    );
    return () => stop.abort();
  }, [path, round]);
  const reload = useCallback(() => setRound((n) => n + 1), []);
  const patch = useCallback(
    (change: (data: T) => T) =>
      set((before) => (before.data === null ? before : { ...before, data: change(before.data) })),
    [],
  );
  return { ...state, loading: state.path !== path, reload, patch };
}

/** A function that keeps its identity and always calls the newest version. */
export function useNewest<A extends unknown[], R>(callback: (...args: A) => R): (...args: A) => R {
  const newest = useRef(callback);
  newest.current = callback;
  return useCallback((...args: A) => newest.current(...args), []);
}

export function useInterval(ms: number, tick: () => void): void {
  const newest = useNewest(tick);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || newest(), ms);
    return () => clearInterval(timer);
  }, [ms]);
}

/** A setting of the browser, remembered for all journals: the theme, the columns, the form of texts. */
export function useRemembered(name: string, otherwise: string): [string, (value: string) => void] {
  const key = `plsync-${name}`;
  const [value, set] = useState(() => remembered(key) ?? otherwise);
  useEffect(() => {
    const listener = (event: Event) =>
      (event as CustomEvent<string>).detail === key && set(remembered(key) ?? otherwise);
    addEventListener("remembered", listener);
    return () => removeEventListener("remembered", listener);
  }, [key]);
  return [value, (next) => remember(key, next)];
}

const memory = new Map<string, string>();

function remembered(key: string): string | null {
  try {
    return localStorage.getItem(key) ?? memory.get(key) ?? null;
  } catch {
    return memory.get(key) ?? null;
  }
}

function remember(key: string, value: string): void {
  memory.set(key, value);
  try {
    localStorage.setItem(key, value);
  } catch {
    // A page from a file may have no storage; the setting then lasts as long as the page.
  }
  dispatchEvent(new CustomEvent("remembered", { detail: key }));
}
