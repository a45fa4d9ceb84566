import type { ComponentChildren } from "preact";
import type { Fact } from "../api/types";
import { addFilter } from "../lib/filters";
import { cost, duration, exact, time, tokens } from "../lib/format";
import { place, setQuery } from "../lib/router";
import { Icon } from "../parts/icons";
import { DeliveryState, Marks, ResultState } from "../parts/state";
import { Line } from "../parts/text";
import { Mute } from "../parts/basics";

export interface Column {
  name: string;
  title: string;
  number?: boolean;
  /** The word by which the server sorts. */
  sort?: string;
  cell: (fact: Fact) => ComponentChildren;
}

/** A value of a cell: a click shows the calls with the same value, and a click with Shift leaves them out. */
function Filter({ name, value, children }: { name: string; value: string | null; children: ComponentChildren }) {
  if (!value) return <>{children}</>;
  return (
    <button
      class="filter-by"
      tabIndex={-1}
      title={`Show only ${value}. With Shift: leave out ${value}.`}
      onClick={(event) => {
        event.stopPropagation();
        addFilter(name, value, event.shiftKey);
      }}
    >
      {children}
    </button>
  );
}

function Preview({ fact }: { fact: Fact }) {
  if (fact.hidden) return <Mute>hidden</Mute>;
  return (
    <span class="preview">
      {fact.input && <Line text={fact.input} />}
      {(fact.output || fact.error_message) && (
        <span class={fact.output ? "mute" : "bad"}>
          <Icon name="right" />
          <Line text={fact.output ?? fact.error_message ?? ""} />
        </span>
      )}
    </span>
  );
}

const COLUMNS: Column[] = [
  { name: "time", title: "Time", sort: "time", cell: (fact) => time(fact.started_ms) },
  {
    name: "model",
    title: "Model",
    cell: (fact) => (
      <Filter name="model" value={fact.model}>
        <Line text={fact.model ?? "unknown"} />
      </Filter>
    ),
  },
  {
    name: "provider",
    title: "Provider",
    cell: (fact) => (
      <Filter name="provider" value={fact.provider}>
        {fact.provider && <Line text={fact.provider} />}
      </Filter>
    ),
  },
  {
    name: "name",
    title: "Name",
    cell: (fact) => (
      <Filter name="name" value={fact.name}>
        {fact.name && <Line text={fact.name} />}
      </Filter>
    ),
  },
  {
    name: "result",
    title: "Result",
    cell: (fact) => (
      <Filter name="result" value={fact.result}>
        <ResultState fact={fact} />
      </Filter>
    ),
  },
  { name: "took", title: "Took", number: true, sort: "took", cell: (fact) => duration(fact.took_us) },
  {
    name: "first",
    title: "First token",
    number: true,
    sort: "first_token",
    cell: (fact) => duration(fact.first_token_us),
  },
  { name: "tokens", title: "Tokens", number: true, sort: "tokens", cell: (fact) => tokens(fact.tokens) },
  { name: "cost", title: "Cost", number: true, cell: (fact) => cost(fact.cost) },
  {
    name: "sent",
    title: "Delivery",
    cell: (fact) => (
      <Filter name="delivery" value={fact.delivery}>
        <DeliveryState {...fact} />
      </Filter>
    ),
  },
  {
    name: "tags",
    title: "Tags",
    cell: (fact) => (
      <span class="row tight">
        {fact.tags.slice(0, 3).map((tag) => (
          <Filter key={tag} name="tag" value={tag}>
            <span class="chip">
              <Line text={tag} />
            </span>
          </Filter>
        ))}
        {fact.tags.length > 3 && <Mute>+{fact.tags.length - 3}</Mute>}
      </span>
    ),
  },
  {
    name: "marks",
    title: "Marks",
    cell: (fact) => (
      <span class="row tight">
        <Marks marks={fact.marks} />
      </span>
    ),
  },
  { name: "preview", title: "Input and answer", cell: (fact) => <Preview fact={fact} /> },
];

export const DEFAULT_COLUMNS = "time,model,result,took,tokens,sent,preview";
export const COLUMN_NAMES = COLUMNS.map(({ name, title }) => [name, title] as const);

/** The columns by their names; `meta:KEY` shows a key of the metadata. */
export function columnsOf(names: string): Column[] {
  const chosen = names.split(",");
  const own = chosen
    .filter((name) => name.startsWith("meta:"))
    .map((name): Column => {
      const key = name.slice(5);
      return {
        name,
        title: key,
        cell: (fact) => {
          const value = fact.metadata?.[key];
          const text = typeof value === "string" ? value : value == null ? "" : JSON.stringify(value);
          return (
            <Filter name="meta" value={text && `${key}=${text}`}>
              <Line text={text} />
            </Filter>
          );
        },
      };
    });
  const known = COLUMNS.filter(({ name }) => chosen.includes(name));
  return [...known.filter(({ name }) => name !== "preview"), ...own, ...known.filter(({ name }) => name === "preview")];
}

function Heading({ column }: { column: Column }) {
  const { query } = place();
  const by = query.get("sort") ?? "time";
  const rising = query.get("order") === "asc";
  if (!column.sort) return <>{column.title}</>;
  const active = by === column.sort;
  const turn = () =>
    setQuery({
      sort: column.sort === "time" ? null : (column.sort ?? null),
      order: active && !rising ? "asc" : null,
      before: null,
      page: null,
    });
  return (
    <button class="sort" onClick={turn}>
      {column.title}
      {active && <Icon name={rising ? "up" : "down"} />}
    </button>
  );
}

interface TableProps {
  calls: Fact[];
  columns: Column[];
  open: string;
  selected: string[];
  select: (id: string, range: boolean) => void;
  selectAll: (on: boolean) => void;
  link: (id: string) => string;
  show: (id: string) => void;
}

export function CallTable({ calls, columns, open, selected, select, selectAll, link, show }: TableProps) {
  const { query } = place();
  const by = query.get("sort") ?? "time";
  const sorted = query.get("order") === "asc" ? "ascending" : "descending";
  const all = calls.length > 0 && calls.every((fact) => selected.includes(fact.id));
  return (
    <table class="table calls" role="table">
      <caption class="hidden-text">Calls</caption>
      <thead role="rowgroup">
        <tr role="row">
          <th scope="col" role="columnheader" class="box">
            <input
              type="checkbox"
              aria-label="Select all calls of this page"
              checked={all}
              onChange={(event) => selectAll(event.currentTarget.checked)}
            />
          </th>
          {columns.map((column) => (
            <th
              key={column.name}
              scope="col"
              role="columnheader"
              class={`${column.name.replace(/:.*/s, "")}${column.number ? " number" : ""}`}
              aria-sort={column.sort === by ? sorted : undefined}
            >
              <Heading column={column} />
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {calls.map((fact) => (
          <tr
            key={fact.id}
            role="row"
            data-id={fact.id}
            class={`${fact.id === open ? "open" : ""}${selected.includes(fact.id) ? " selected" : ""}`}
            onClick={(event) => {
              if ((event.target as Element).closest("a, button, input, label") || getSelection()?.toString()) return;
              show(fact.id);
            }}
          >
            <td role="cell" class="box">
              <input
                type="checkbox"
                tabIndex={-1}
                aria-label={`Select call ${fact.short}`}
                checked={selected.includes(fact.id)}
                onClick={(event) => select(fact.id, event.shiftKey)}
              />
            </td>
            {columns.map((column) => (
              <td
                key={column.name}
                role="cell"
                class={`${column.name.replace(/:.*/s, "")}${column.number ? " number" : ""}`}
              >
                {column.name === "time" ? (
                  <a
                    href={link(fact.id)}
                    title={exact(fact.started_ms)}
                    aria-current={fact.id === open ? "true" : undefined}
                    aria-label={`${time(fact.started_ms)}, open call ${fact.short}`}
                  >
                    {column.cell(fact)}
                  </a>
                ) : (
                  column.cell(fact)
                )}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
