import { useState } from "preact/hooks";
import type { Value } from "../api/types";
import { json, plural, size } from "../lib/format";
import { Icon } from "./icons";
import { Plain, TextView } from "./text";
import { visible } from "./verbatim";
import { Mute } from "./basics";

const PAGE = 100;
const MOST_DEPTH = 400;
const OPEN = 1500;
const OPEN_ALL = 9;
const OPEN_FIRST = 1;

function summary(value: object): string {
  return Array.isArray(value)
    ? `[ ${plural(value.length, "item")} ]`
    : `{ ${plural(Object.keys(value).length, "key")} }`;
}

function Leaf({ value }: { value: unknown }) {
  if (typeof value === "string")
    return (
      <span class="json-text" dir="auto">
        {visible(JSON.stringify(value.length > 2000 ? `${value.slice(0, 2000)}…` : value))}
      </span>
    );
  return <span class="json-atom">{String(value)}</span>;
}

function Node({ name, value, depth, open: levels }: { name: string; value: unknown; depth: number; open: number }) {
  const [open, setOpen] = useState(levels > 0);
  const [shown, setShown] = useState(PAGE);
  const label = name && <span class="json-name">{visible(name)}: </span>;
  if (typeof value !== "object" || value === null) {
    return (
      <li>
        <span class="json-gap" />
        {label}
        <Leaf value={value} />
      </li>
    );
  }
  const entries = open ? Object.entries(value) : [];
  return (
    <li>
      <button class="json-fold" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name={open ? "down" : "right"} />
        {label}
        <Mute>{summary(value)}</Mute>
      </button>
      {open && depth > MOST_DEPTH && <Plain text={json(value)} mono />}
      {open && depth <= MOST_DEPTH && (
        <ul>
          {entries.slice(0, shown).map(([key, one]) => (
            <Node key={key} name={key} value={one} depth={depth + 1} open={levels - 1} />
          ))}
          {entries.length > shown && (
            <li>
              <button class="link" onClick={() => setShown(shown + 5 * PAGE)}>
                {entries.length - shown} more
              </button>
            </li>
          )}
        </ul>
      )}
    </li>
  );
}

/** A JSON value as a tree. Nodes exist once they are opened, so that a value of megabytes opens at once. */
export function JsonTree({ value }: { value: unknown }) {
  return (
    <ul class="json">
      <Node name="" value={value} depth={0} open={oneLine(value).length < OPEN ? OPEN_ALL : OPEN_FIRST} />
    </ul>
  );
}

export function ValueView({ value }: { value: Value }) {
  if (value.hidden) return <Mute>{value.bytes ? size(value.bytes) : ""} hidden by --hide-content</Mute>;
  if (!("json" in value)) {
    const start = value.text ?? "";
    return (
      <TextView
        mono
        text={{
          text: start,
          chars: value.folded?.bytes ?? start.length,
          ...(value.folded && { folded: value.folded }),
        }}
      />
    );
  }
  const found = value.json;
  if (typeof found === "string") return <TextView text={{ text: found, chars: found.length }} />;
  if (typeof found !== "object" || found === null) return <code>{String(found)}</code>;
  // A short value is easier to read in one line.
  const line = oneLine(found);
  return line.length <= 90 ? (
    <code dir="auto">{visible(line.replaceAll(/([,:])(?=["{[\d])/g, "$1 "))}</code>
  ) : (
    <JsonTree value={found} />
  );
}

/** The JSON in one line. A value that is too deep for the browser counts as long. */
function oneLine(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return " ".repeat(OPEN);
  }
}

export function valueText(value: Value): string {
  if (!("json" in value)) return value.text ?? "";
  return typeof value.json === "string" ? value.json : json(value.json);
}
