import { useEffect, useState } from "preact/hooks";
import { get } from "../api/client";
import type { Conversation, Turn } from "../api/types";
import { FormSwitch, Messages, Outputs } from "../call/conversation";
import { FollowUpList } from "../call/follow-ups";
import { ago, cost, count, duration, exact, plural, tokens } from "../lib/format";
import { asError, useApi } from "../lib/hooks";
import { useKeys } from "../lib/keys";
import { href, setQuery, usePlace } from "../lib/router";
import { toast } from "../lib/notes";
import { DataTable } from "../parts/data-table";
import { Failure, Loading } from "../parts/failure";
import { DeliveryState, ResultState } from "../parts/state";
import { Line } from "../parts/text";
import { Grow } from "../parts/basics";

function threadLink(one: Conversation): string {
  return one.kind === "tree" ? href("thread", { tree: one.key }) : href("thread", { thread: one.key });
}

export function ThreadsPage() {
  const { query } = usePlace();
  const before = query.get("before");
  const loaded = useApi<{ conversations: Conversation[]; next: string | null; complete: boolean }>(
    `/api/conversations?limit=50${before ? `&before=${encodeURIComponent(before)}` : ""}`,
  );
  const rows = () => [...document.querySelectorAll<HTMLAnchorElement>(".threads tbody a")];
  const move = (step: number) => {
    const links = rows();
    const at = links.indexOf(document.activeElement as HTMLAnchorElement);
    links[at < 0 ? 0 : Math.max(0, at + step)]?.focus();
  };
  useKeys({ j: () => move(1), k: () => move(-1) });
  if (loaded.error) return <Failure error={loaded.error} retry={loaded.reload} />;
  if (!loaded.data) return <Loading />;
  const { conversations, next } = loaded.data;
  return (
    <div class="page">
      <header>
        <h1>Conversations</h1>
        <p class="mute">Calls with the same thread, session or conversation id, and runs of agents and chains.</p>
      </header>
      {conversations.length === 0 ? (
        <div class="empty">
          <h2>No conversation yet</h2>
          <p>A call with thread_id, session_id or conversation_id in its metadata belongs to a conversation.</p>
        </div>
      ) : (
        <DataTable
          caption="Conversations, the newest first"
          heads={["Last activity", "First words", "Model", "#Calls", "#Tokens", "#Errors", "#Not sent"]}
          class="threads"
        >
          {conversations.map((one) => (
            <tr key={`${one.kind}${one.key}`}>
              <td class="nowrap" title={exact(one.last_ms)}>
                {ago(one.last_ms)}
              </td>
              <td class="title">
                <a href={threadLink(one)}>
                  <Line text={one.title ?? one.key} />
                </a>
                {one.kind === "thread" && (
                  <span class="mute small mono">
                    <Line text={one.key} />
                  </span>
                )}
              </td>
              <td class="mute">
                <Line text={one.model ?? ""} />
              </td>
              <td class="number">
                {count(one.calls)}
                {!one.calls_exact && "+"}
              </td>
              <td class="number mute nowrap">
                {one.tokens && one.tokens.input + one.tokens.output > 0 ? tokens(one.tokens) : ""}
              </td>
              <td class={one.errors ? "number bad" : "number mute"}>{count(one.errors)}</td>
              <td class="number mute">{count(one.undelivered)}</td>
            </tr>
          ))}
        </DataTable>
      )}
      <div class="row pages">
        {before && (
          <button class="button small" onClick={() => setQuery({ before: null })}>
            Newest
          </button>
        )}
        {next && (
          <button class="button small" onClick={() => setQuery({ before: next })}>
            Older conversations
          </button>
        )}
      </div>
    </div>
  );
}

interface Page {
  kind: string;
  key: string;
  turns: Turn[];
  next: string | null;
}

function TurnView({ turn, number }: { turn: Turn; number: number }) {
  const { call } = turn;
  return (
    <section class="turn" aria-label={`Turn ${number}`}>
      <h2 class="hidden-text">Turn {number}</h2>
      {turn.earlier > 0 && number === 1 && <p class="mute small">{plural(turn.earlier, "earlier message")} left out</p>}
      <Messages messages={turn.messages} prefix={`turn${number}-`} />
      <Outputs outputs={turn.outputs} messages={turn.messages} prefix={`turn${number}-`} />
      <p class="row turn-facts small mute">
        <a href={href(`call/${call.id}`)}>{exact(call.started_ms).slice(0, -4)}</a>
        <Line text={call.model ?? ""} />
        <ResultState fact={call} word />
        <span>{duration(call.took_us)}</span>
        <span>{tokens(call.tokens)}</span>
        {call.cost !== null && <span>{cost(call.cost)}</span>}
        <DeliveryState {...call} />
      </p>
      {call.error_message && !turn.outputs.length && (
        <p class="bad">
          <Line text={call.error_message} />
        </p>
      )}
      {turn.followups.length > 0 && <FollowUpList followups={turn.followups} />}
    </section>
  );
}

/** One conversation, turn by turn: of each call only the messages that are new. */
export function ThreadPage() {
  const { query } = usePlace();
  const [name, key] = query.get("tree") ? ["tree", query.get("tree") ?? ""] : ["thread", query.get("thread") ?? ""];
  const path = `/api/conversation?${new URLSearchParams({ [name]: key, limit: "40" })}`;
  const first = useApi<Page>(path);
  const [more, setMore] = useState<Page[]>([]);
  useEffect(() => setMore([]), [path]);
  if (first.error) return <Failure error={first.error} retry={first.reload} />;
  if (!first.data) return <Loading />;
  const pages = [first.data, ...more];
  const turns = pages.flatMap((page) => page.turns);
  const next = pages.at(-1)?.next ?? null;
  return (
    <div class="page thread">
      <header>
        <h1>{first.data.kind === "tree" ? "Run" : "Conversation"}</h1>
        <span class="mute mono">
          <Line text={key} />
        </span>
        <Grow />
        {first.data.kind === "tree" && (
          <a class="button" href={href(`trace/${key}`)}>
            Trace
          </a>
        )}
        <a class="button" href={href("", { [first.data.kind === "tree" ? "root" : "thread"]: key })}>
          As a list of calls
        </a>
        <FormSwitch />
      </header>
      <div class="conversation">
        {turns.map((turn, i) => (
          <TurnView key={turn.call.id} turn={turn} number={i + 1} />
        ))}
      </div>
      {turns.length === 0 && <p class="mute">The conversation has no calls.</p>}
      {next && (
        <button
          class="button"
          onClick={() =>
            get<Page>(`${path}&after=${encodeURIComponent(next)}`).then(
              (page) => setMore([...more, page]),
              (error) => toast(asError(error).message),
            )
          }
        >
          Later turns
        </button>
      )}
    </div>
  );
}
