import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { getBlob, getText, saveBlob } from "../api/client";
import type { Text } from "../api/types";
import { count, size } from "../lib/format";
import { asError } from "../lib/hooks";
import { toast } from "../lib/notes";
import { Markdown } from "./markdown";
import { Mute } from "./basics";

const SHOWN = 12_000;
const CHUNK = 40_000;
// The browser needs seconds to lay out a longer text in one piece.
const MOST_FORMATTED = 200_000;
const MOST_SIGNS = 300;

// Characters that are not seen, or that reverse the order of their neighbours, are shown as their code.
const UNSEEN =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u200b\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ud800-\udfff\u{e0000}-\u{e01ef}]|\r(?!\n)/gu;

/** Verbatim text, with unseen characters as their code. */
export function visible(text: string): ComponentChildren {
  if (text.search(UNSEEN) < 0) return text;
  const parts: ComponentChildren[] = [];
  let from = 0;
  for (const { 0: sign, index } of text.matchAll(UNSEEN)) {
    if (parts.length > 2 * MOST_SIGNS) break;
    parts.push(
      text.slice(from, index),
      <span class="sign">{`U+${(sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`}</span>,
    );
    from = index + sign.length;
  }
  return [...parts, text.slice(from).replace(UNSEEN, "\ufffd")];
}

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
