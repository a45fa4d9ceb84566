import { archive, fromArchive, mediaFromArchive } from "./archive";

/** An error that the server reported, or a server that did not respond. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly candidates: string[] = [],
  ) {
    super(message);
  }
}

const TOKEN = "plsync-token";
let token = "";

/** Move the token from the fragment of the link into the tab, where neither the history nor a referrer has it. */
export function takeToken(): boolean {
  if (archive) return false;
  const found = /^#t=([\w-]+)/.exec(location.hash);
  try {
    token = found?.[1] ?? sessionStorage.getItem(TOKEN) ?? "";
    if (found) sessionStorage.setItem(TOKEN, token);
  } catch {
    token = found?.[1] ?? token;
  }
  if (found) history.replaceState(null, "", location.pathname + location.search);
  return !!found;
}

async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${token}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("offline", "The server does not respond. Start `plsync ui` again; this page then continues.");
  }
  if (response.ok) return response;
  let body: { error?: { code?: string; message?: string; candidates?: string[] } } = {};
  try {
    body = await response.json();
  } catch {
    // A proxy in between may have sent another body.
  }
  throw new ApiError(
    body.error?.code ?? String(response.status),
    body.error?.message ?? `The server sent status ${response.status}.`,
    body.error?.candidates,
  );
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  if (archive) return fromArchive(path) as T;
  return (await request(path, signal ? { signal } : {})).json();
}

export async function getText(path: string, signal?: AbortSignal): Promise<string> {
  if (archive) return String(fromArchive(path));
  return (await request(path, signal ? { signal } : {})).text();
}

export async function post<T>(path: string, body: object): Promise<T> {
  return (await send(path, body)).json();
}

export function send(path: string, body: object): Promise<Response> {
  return request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

export async function getBlob(path: string): Promise<Blob> {
  return archive ? mediaFromArchive(path) : (await request(path)).blob();
}

/** The objects of an NDJSON response, each as soon as its line is complete. */
export async function* lines<T>(path: string, signal: AbortSignal): AsyncGenerator<T> {
  const body = (await request(path, { signal })).body;
  if (!body) return;
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) if (part) yield JSON.parse(part) as T;
  }
}

/** Save a file under a name, without a request. */
export function saveBlob(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** The file name that a response proposes. */
export function fileName(response: Response, otherwise: string): string {
  return /filename="?([^";]+)/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? otherwise;
}
