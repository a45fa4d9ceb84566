import type { ComponentChildren } from "preact";

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
