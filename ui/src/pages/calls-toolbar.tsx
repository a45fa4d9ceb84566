import { useEffect, useRef, useState } from "preact/hooks";
import { clearFilters, FILTERS, filterLabel, removeFilter } from "../lib/filters";
import { useKeys } from "../lib/keys";
import { setQuery } from "../lib/router";
import { Mute } from "../parts/basics";
import { Icon } from "../parts/icons";
import { Menu } from "../parts/menu";
import { Line } from "../parts/text";
import { COLUMN_NAMES } from "./call-table";

export function Search({ q }: { q: string }) {
  const [text, setText] = useState(q);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => setText(q), [q]);
  useKeys({
    "/": () => input.current?.focus(),
  });
  return (
    <form
      class="search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        setQuery({ q: text.trim() || null, before: null, page: null });
      }}
    >
      <Icon name="search" />
      <input
        ref={input}
        class="field"
        type="search"
        aria-label="Search for a text, a record id, a run id or a request id"
        placeholder="Text, record id, run id or #request id"
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          if (!event.currentTarget.value && q) setQuery({ q: null, before: null, page: null });
        }}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.stopPropagation();
          input.current?.blur();
        }}
      />
      <kbd aria-hidden="true">/</kbd>
    </form>
  );
}

export function Columns({ names, set, keys }: { names: string; set: (names: string) => void; keys: string[] }) {
  const chosen = names.split(",");
  const toggle = (name: string) =>
    set((chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name]).join(","));
  const metadata = [
    ...new Set([
      ...chosen.filter((name) => name.startsWith("meta:")).map((name) => name.slice(5)),
      ...keys.filter((key) => !/^(ls|lc|langgraph)_|^__|checkpoint/.test(key)),
    ]),
  ].slice(0, 60);
  return (
    <Menu label="Columns" icon="columns" stays>
      {COLUMN_NAMES.map(([name, title]) => (
        <label class="item" key={name}>
          <input
            type="checkbox"
            checked={chosen.includes(name)}
            disabled={name === "time"}
            onChange={() => toggle(name)}
          />{" "}
          <Line text={title} />
        </label>
      ))}
      {metadata.length > 0 && <p class="mute small heading">Metadata</p>}
      {metadata.map((key) => (
        <label class="item" key={key}>
          <input type="checkbox" checked={chosen.includes(`meta:${key}`)} onChange={() => toggle(`meta:${key}`)} />{" "}
          <Line text={key} />
        </label>
      ))}
    </Menu>
  );
}

export function Chips({ query }: { query: URLSearchParams }) {
  const active = [...query].filter(([name, value]) => FILTERS.has(name) && value);
  if (!active.length) return null;
  return (
    <div class="chips" aria-label="Filters" role="group">
      {active.map(([name, value]) => {
        const [label, text] = filterLabel(name, value);
        return (
          <span class="chip" key={`${name}=${value}`}>
            <span>
              <Mute>{label}:</Mute> <bdi>{text}</bdi>
            </span>
            <button
              class="link"
              aria-label={`Remove the filter ${label}: ${text}`}
              onClick={() => removeFilter(name, value)}
            >
              <Icon name="cross" />
            </button>
          </span>
        );
      })}
      <button class="link small" onClick={clearFilters}>
        Remove all
      </button>
    </div>
  );
}
