import { useEffect } from "preact/hooks";
import { useNewest } from "./hooks";

type Handler = (event: KeyboardEvent) => void;

/** The keys, as the help lists them. */
export const KEYS: [string, string][] = [
  ["/", "Search"],
  ["j  k", "Next, previous call"],
  ["Enter", "Open the call"],
  ["Esc", "Back"],
  ["x", "Select the call"],
  ["c", "Compare"],
  ["s", "Score"],
  ["r", "Retry"],
  ["y", "Copy the answer"],
  ["l", "Live"],
  ["f", "Filters"],
  ["g c", "Calls"],
  ["g t", "Conversations"],
  ["g u", "Usage"],
  ["g d", "Delivery"],
  ["g p", "Prompts"],
  ["?", "This help"],
];

let prefix = "";
const stack: Record<string, Handler>[] = [];

function isTyping(event: KeyboardEvent): boolean {
  const at = event.target;
  return (
    at instanceof HTMLElement &&
    (at.isContentEditable || at.matches("input:not([type=checkbox]):not([type=radio]), textarea, select"))
  );
}

export function startKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (isTyping(event) && event.key !== "Escape") return;
    if (document.querySelector("dialog[open]")) return;
    const pressed = prefix + event.key;
    prefix = "";
    if (pressed === "g") {
      prefix = "g ";
      setTimeout(() => (prefix = ""), 1500);
      return;
    }
    // A button or a link keeps its Enter.
    if (
      event.key === "Enter" &&
      event.target instanceof Element &&
      event.target.closest("a, button, summary, label, input")
    )
      return;
    const handler = stack.findLast((keys) => pressed in keys)?.[pressed];
    if (handler) {
      event.preventDefault();
      handler(event);
    }
  });
}

/** Handle keys while a component is shown. The component that was shown last comes first. */
export function useKeys(keys: Record<string, Handler | false | null | undefined>): void {
  const names = Object.keys(keys).filter((name) => keys[name]);
  const call = useNewest((name: string, event: KeyboardEvent) => {
    const handler = keys[name];
    if (handler) handler(event);
  });
  useEffect(() => {
    const mine = Object.fromEntries(names.map((name) => [name, (event: KeyboardEvent) => call(name, event)]));
    stack.push(mine);
    return () => void stack.splice(stack.indexOf(mine), 1);
  }, [names.join("|")]);
}
