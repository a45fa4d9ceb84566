import { useEffect, useState } from "preact/hooks";

type Listener = (text: string) => void;
const listeners = new Set<Listener>();

/** Show a short message, and announce it to screen readers. */
export function toast(text: string): void {
  for (const listener of listeners) listener(text);
}

export function useToast(): string {
  const [text, set] = useState("");
  useEffect(() => {
    let timer = 0;
    const listener = (next: string) => {
      clearTimeout(timer);
      set(next);
      timer = window.setTimeout(() => set(""), 4500);
    };
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return text;
}

export async function copy(text: string, name: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page from a file, or a browser without the permission, copies a selection.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "hidden-text";
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) {
      toast("The browser did not allow the copy.");
      return;
    }
  }
  toast(`Copied: ${name}`);
}
