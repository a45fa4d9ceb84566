import { useMemo, useState } from "preact/hooks";
import type { Call, Comparison, Message, Value } from "../api/types";
import { messageTextOf } from "../call/plain-text";
import { cost, count, duration, exact, plural, tokens } from "../lib/format";
import { useApi } from "../lib/hooks";
import { type Piece, wordDiff } from "../lib/word-diff";
import { href, setQuery, usePlace } from "../lib/router";
import { Failure, Loading } from "../parts/failure";
import { Choice } from "../parts/controls";
import { DataTable } from "../parts/data-table";
import { Icon } from "../parts/icons";
import { ValueView } from "../parts/json";
import { ResultState } from "../parts/state";
import { Line, Plain } from "../parts/text";
import { visible } from "../parts/verbatim";
import { Grow, Mute } from "../parts/basics";

// Longer texts are shown side by side without marks: the comparison of words would block the page.
const MOST_CHARS = 60_000;

function pieces(a: string, b: string): Piece[] | null {
  if (a.length + b.length > MOST_CHARS) return null;
  const found = wordDiff(a, b);
  if (!found) return null;
  // Texts with few words in common are easier to read as a whole.
  const common = found.reduce((sum, piece) => sum + (piece.added || piece.removed ? 0 : piece.value.trim().length), 0);
  if (common < 0.3 * Math.min(a.length, b.length))
    return [
      { value: a, removed: true },
      { value: b, added: true },
    ];
  return found;
}

/** Two texts with their differences: side by side, or as one text. */
function Difference({ a, b, inline }: { a: string; b: string; inline: boolean }) {
  const found = useMemo(() => pieces(a, b), [a, b]);
  if (inline && found) {
    return (
      <div class="text difference" dir="auto">
        {found.map((piece, i) =>
          piece.added ? (
            <ins key={i}>{visible(piece.value)}</ins>
          ) : piece.removed ? (
            <del key={i}>{visible(piece.value)}</del>
          ) : (
            visible(piece.value)
          ),
        )}
      </div>
    );
  }
  return (
    <div class="sides">
      <div class="text difference" dir="auto">
        {found ? (
          found
            .filter((piece) => !piece.added)
            .map((piece, i) => (piece.removed ? <del key={i}>{visible(piece.value)}</del> : visible(piece.value)))
        ) : (
          <Plain text={a} />
        )}
      </div>
      <div class="text difference" dir="auto">
        {found ? (
          found
            .filter((piece) => !piece.removed)
            .map((piece, i) => (piece.added ? <ins key={i}>{visible(piece.value)}</ins> : visible(piece.value)))
        ) : (
          <Plain text={b} />
        )}
      </div>
    </div>
  );
}

function change(a: number | null | undefined, b: number | null | undefined): string {
  if (a == null || b == null || !a) return "";
  const value = Math.round((100 * (b - a)) / a);
  return value ? `${value > 0 ? "+" : "−"}${count(Math.abs(value))} %` : "";
}

function Facts({ a, b }: { a: Call; b: Call }) {
  const rows: [string, (call: Call) => preact.ComponentChildren, string][] = [
    ["Started", (call) => exact(call.started_ms), ""],
    ["Model", (call) => <Line text={[call.model, call.provider].filter(Boolean).join(" · ")} />, ""],
    ["Result", (call) => <ResultState fact={call} word />, ""],
    ["Took", (call) => duration(call.took_us), change(a.took_us, b.took_us)],
    ["First token", (call) => duration(call.first_token_us), change(a.first_token_us, b.first_token_us)],
    ["Tokens", (call) => tokens(call.tokens), change(a.tokens?.output, b.tokens?.output)],
    ["Cost", (call) => cost(call.cost), change(a.cost, b.cost)],
  ];
  return (
    <div class="panel scroll-x" role="group" aria-label="Facts" tabIndex={0}>
      <table class="table">
        <caption class="hidden-text">Facts of both calls</caption>
        <thead>
          <tr>
            <th scope="col">
              <span class="hidden-text">Fact</span>
            </th>
            <th scope="col">
              <a href={href(`call/${a.id}`)}>A · {a.short}</a>
            </th>
            <th scope="col">
              <a href={href(`call/${b.id}`)}>B · {b.short}</a>
            </th>
            <th scope="col" class="number">
              Change
            </th>
          </tr>
        </thead>
        <tbody>
          {rows
            .filter(([, value]) => value(a) || value(b))
            .map(([name, value, changed]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{value(a)}</td>
                <td>{value(b)}</td>
                <td class="number mute">{changed}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  );
}

const cell = (value: Value | null) => (value ? <ValueView value={value} /> : <Mute>not set</Mute>);

function Settings({ data }: { data: Comparison }) {
  const [all, setAll] = useState(false);
  const rows = data.settings.filter((one) => all || !one.same);
  const equal = data.settings.filter((one) => one.same).length;
  const { added, removed, changed } = data.tools;
  return (
    <section>
      <h2>Settings</h2>
      {rows.length > 0 ? (
        <DataTable caption="Settings of both calls" heads={["Setting", "A", "B"]}>
          {rows.map((one) => (
            <tr key={one.name} class={one.same ? "mute" : ""}>
              <th scope="row">
                <Line text={one.name} />
              </th>
              <td>{cell(one.a)}</td>
              <td>{cell(one.b)}</td>
            </tr>
          ))}
        </DataTable>
      ) : (
        <p class="mute">Both calls have the same settings.</p>
      )}
      {added.length + removed.length + changed.length > 0 && (
        <p class="row small tools-changed">
          <Icon name="tool" />
          {[
            ["only in A", removed],
            ["only in B", added],
            ["changed", changed],
          ].map(
            ([label, names]) =>
              names && names.length > 0 && <span key={String(label)}>{`${label}: ${[names].flat().join(", ")}`}</span>,
          )}
        </p>
      )}
      {equal > 0 && (
        <button class="link small" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? "Only differences" : `Show ${plural(equal, "equal setting")}`}
        </button>
      )}
    </section>
  );
}

function Pair({
  a,
  b,
  same,
  inline,
}: {
  a: Message | undefined;
  b: Message | undefined;
  same: boolean;
  inline: boolean;
}) {
  const [open, setOpen] = useState(!same);
  const role = a && b && a.role !== b.role ? `${a.role} / ${b.role}` : (a?.role ?? b?.role);
  const which = !a ? "only in B" : !b ? "only in A" : same ? "equal" : "";
  return (
    <article class="message">
      <header>
        <h3>{role}</h3>
        <Mute small>{which}</Mute>
        <Grow />
        {same && (
          <button class="button plain small" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? "Hide" : "Show"}
          </button>
        )}
      </header>
      {open && (
        <div class="content">
          {same && a ? (
            <Plain text={messageTextOf(a)} />
          ) : (
            <Difference a={a ? messageTextOf(a) : ""} b={b ? messageTextOf(b) : ""} inline={inline} />
          )}
        </div>
      )}
    </article>
  );
}

export function ComparePage() {
  const { query } = usePlace();
  const [a, b] = [query.get("a") ?? "", query.get("b") ?? ""];
  const compared = useApi<Comparison>(a && b ? `/api/compare?${new URLSearchParams({ a, b })}` : null);
  const inline = query.get("view") === "inline";
  if (!a || !b) {
    return (
      <div class="empty">
        <h1>Compare two calls</h1>
        <p>Select two calls in the list with the boxes or with x, and press c.</p>
        <a class="button" href={href("")}>
          To the calls
        </a>
      </div>
    );
  }
  if (compared.error) return <Failure error={compared.error} retry={compared.reload} />;
  if (!compared.data) return <Loading />;
  const { data } = compared;
  const answers = Array.from({ length: Math.max(data.a.outputs.length, data.b.outputs.length) }, (_, i) => i);
  return (
    <div class="page compare">
      <header>
        <h1>Compare</h1>
        <Grow />
        <Choice
          label="Form of differences"
          options={["Side by side", "Inline"]}
          chosen={inline ? 1 : 0}
          choose={(i) => setQuery({ view: i ? "inline" : null }, true)}
        />
        <button class="button" onClick={() => setQuery({ a: b, b: a }, true)}>
          Swap
        </button>
      </header>
      <Facts a={data.a} b={data.b} />
      <Settings data={data} />
      <section>
        <h2>Messages</h2>
        {data.messages.map((pair, i) => (
          <Pair
            key={i}
            a={pair.a === null ? undefined : data.a.messages[pair.a]}
            b={pair.b === null ? undefined : data.b.messages[pair.b]}
            same={pair.same}
            inline={inline}
          />
        ))}
      </section>
      <section>
        <h2>{answers.length > 1 ? "Answers" : "Answer"}</h2>
        {answers.length === 0 && <p class="mute">Neither call has an answer.</p>}
        {answers.map((i) => {
          const [one, other] = [data.a.outputs[i]?.message, data.b.outputs[i]?.message];
          return (
            <Pair
              key={i}
              a={one}
              b={other}
              same={!!one && !!other && messageTextOf(one) === messageTextOf(other)}
              inline={inline}
            />
          );
        })}
      </section>
    </div>
  );
}
