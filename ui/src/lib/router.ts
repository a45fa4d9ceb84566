import { useEffect, useState } from "preact/hooks";
import { archive } from "../api/archive";

/** Where the user is. All state of the pages is here, so that a link, a reload and the back button keep it. */
export interface Place {
  page: string;
  id: string;
  query: URLSearchParams;
}

const listeners = new Set<() => void>();
let now = read();

function read(): Place {
  // A file has no paths: the fragment holds the place.
  const at = new URL(archive ? location.hash.slice(1) || "/" : location.href, "http://page");
  const [page = "", ...rest] = at.pathname.split("/").filter(Boolean);
  return { page, id: decodeURIComponent(rest.join("/")), query: at.searchParams };
}

function changed(): void {
  now = read();
  for (const listener of [...listeners]) listener();
}

export const place = () => now;

export function usePlace(): Place {
  const [at, set] = useState(now);
  useEffect(() => {
    const listener = () => set(now);
    listeners.add(listener);
    listener();
    return () => void listeners.delete(listener);
  }, []);
  return at;
}

/** The link to a place: `href("call/ID", { tab: "raw" })`. */
export function href(path: string, query: Record<string, string> | URLSearchParams = {}): string {
  const text = new URLSearchParams(query).toString();
  return `${archive ? "#" : ""}/${path}${text ? `?${text}` : ""}`;
}

export function go(to: string, replace = false): void {
  history[replace ? "replaceState" : "pushState"](null, "", to);
  changed();
}

/** Change entries of the query string; null removes one. */
export function setQuery(changes: Record<string, string | string[] | null>, replace = false): void {
  const query = new URLSearchParams(now.query);
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    for (const one of value === null ? [] : [value].flat()) query.append(name, one);
  }
  go(href([now.page, encodeURIComponent(now.id)].filter(Boolean).join("/"), query), replace);
}

export function startRouter(): void {
  addEventListener("popstate", changed);
  addEventListener("hashchange", changed);
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
      return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || link.target || link.hasAttribute("download")) return;
    const to = link.getAttribute("href") ?? "";
    if (!to.startsWith("/") && !to.startsWith("#/")) return;
    event.preventDefault();
    go(to);
  });
}
