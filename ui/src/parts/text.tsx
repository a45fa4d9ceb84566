import { useState } from "preact/hooks";
import { getBlob, getText, saveBlob } from "../api/client";
import type { Text } from "../api/types";
import { count, size } from "../lib/format";
import { asError } from "../lib/hooks";
import { toast } from "../lib/notes";
import { Markdown } from "./markdown";
import { Mute } from "./basics";
import { visible } from "./verbatim";

const SHOWN = 12_000;
const CHUNK = 40_000;
// The browser needs seconds to lay out a longer text in one piece.
const MOST_FORMATTED = 200_000;

/** A text in one line of a table or a title. */
export function Line({ text }: { text: string }) {
  if (text && !text.trim()) return <Mute>(blank)</Mute>;
  return <bdi>{visible(text.length > 400 ? `${text.slice(0, 400)}…` : text)}</bdi>;
}

/** A message for people, with its commands in backticks as code. */
export function Prose({ text }: { text: string }) {
  return <>{text.split("`").map((part, i) => (i % 2 ? <code key={i}>{visible(part)}</code> : visible(part)))}</>;
}

// The browser lays out a long text in parts, and only the parts near the window.
function chunks(text: string): string[] {
  const found: string[] = [];
  for (let from = 0; from < text.length;) {
    const end = text.indexOf("\n", from + CHUNK);
    const to = end < 0 || end > from + 2 * CHUNK ? Math.min(text.length, from + CHUNK) : end + 1;
    found.push(text.slice(from, to));
    from = to;
  }
  return found;
}

export function Plain({ text, mono = false }: { text: string; mono?: boolean }) {
  return (
    <div class={mono ? "text mono" : "text"}>
      {text.length <= CHUNK ? (
        <div dir="auto">{visible(text)}</div>
      ) : (
        chunks(text).map((chunk, i) => (
          <div class="chunk" dir="auto" key={i}>
            {visible(chunk)}
          </div>
        ))
      )}
    </div>
  );
}

/** A text of any size: long ones are folded, and the rest of very long ones is loaded on demand. */
export function TextView({ text, markdown = false, mono = false }: { text: Text; markdown?: boolean; mono?: boolean }) {
  const [whole, setWhole] = useState<string | null>(null);
  const [open, setOpen] = useState(false);
  if (text.hidden) return <p class="mute">{count(text.chars)} characters, hidden by --hide-content</p>;
  const folded = whole === null ? text.folded : undefined;
  const all = whole ?? text.text;
  const cut = !open && all.length > SHOWN;
  const load = async () => {
    try {
      if (folded) setWhole(await getText(folded.href));
      setOpen(true);
    } catch (error) {
      toast(asError(error).message);
    }
  };
  const download = async () => {
    try {
      saveBlob(
        folded ? await getBlob(`${folded.href}&download=1`) : new Blob([all], { type: "text/plain" }),
        "field.txt",
      );
    } catch (error) {
      toast(asError(error).message);
    }
  };
  const shown = cut ? all.slice(0, SHOWN) : all;
  return (
    <>
      {markdown && !cut && !folded && shown.length < MOST_FORMATTED ? (
        <Markdown text={shown} />
      ) : (
        <Plain text={shown} mono={mono} />
      )}
      {(cut || folded) && (
        <div class="fold">
          <span class="mute">
            {count(Math.min(SHOWN, shown.length))} of {count(text.chars)} characters
          </span>
          <button class="button small" onClick={load}>
            Show all{folded && ` (${size(folded.bytes)})`}
          </button>
          <button class="button small" onClick={download}>
            Download
          </button>
        </div>
      )}
    </>
  );
}

/** The whole text, for the clipboard. */
export async function wholeText(text: Text): Promise<string> {
  return text.folded ? getText(text.folded.href) : text.text;
}
