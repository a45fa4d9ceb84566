import { useEffect, useState } from "preact/hooks";
import { archive } from "../api/archive";
import type { Call, Fact } from "../api/types";
import { ago, cost, count, duration, exact, speed, time } from "../lib/format";
import { useApi, useInterval, useNewest } from "../lib/hooks";
import { useKeys } from "../lib/keys";
import { go, href, place, setQuery, usePlace } from "../lib/router";
import { useSession } from "../lib/session";
import { IconButton } from "../parts/controls";
import { Failure, Loading } from "../parts/failure";
import { Icon } from "../parts/icons";
import { DeliveryState, Marks, ResultState } from "../parts/state";
import { StreamStrip } from "../parts/stream-strip";
import { Line } from "../parts/text";
import { Conversation, FormSwitch } from "./conversation";
import { CopyMenu, copyAs } from "./copy-menu";
import { Delivery, Metadata, ownMetadata, Raw, retryCall, Settings } from "./details";
import { FollowUps } from "./follow-ups";
import { Mute } from "../parts/basics";

interface ViewProps {
  id: string;
  close?: () => void;
  previous?: () => void;
  next?: () => void;
  changed?: (call: Fact) => void;
  filter?: (name: string, value: string) => void;
}

function Facts({ call }: { call: Call }) {
  const facts: [string, preact.ComponentChildren][] = [
    [
      "Result",
      <>
        <ResultState fact={call} word />
        {call.result_note && <span class="mute small block">{call.result_note.replace(/^[:\s]+/, "")}</span>}
      </>,
    ],
    [
      "Started",
      <span title={exact(call.started_ms)}>
        {time(call.started_ms)} <span class="mute nowrap">{ago(call.started_ms)}</span>
      </span>,
    ],
    ["Took", duration(call.took_us)],
    ["First token", duration(call.first_token_us)],
    [
      "Tokens",
      call.tokens && (
        <>
          {count(call.tokens.input)} in, {count(call.tokens.output)} out
          {call.tokens.cached ? <Mute> ({count(call.tokens.cached)} cached)</Mute> : null}
        </>
      ),
    ],
    ["Speed", speed(call.tokens?.output, call.took_us, call.first_token_us)],
    ["Cost", cost(call.cost)],
    ["Delivery", <DeliveryState {...call} />],
  ];
  return (
    <dl class="facts">
      {facts
        .filter(([, value]) => value)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

function Same({ call }: { call: Call }) {
  const [asked, setAsked] = useState(false);
  const same = useApi<{ calls: Fact[] }>(asked ? `/api/calls/${call.id}/same` : null);
  const others = same.data?.calls.filter((one) => one.id !== call.id) ?? [];
  if (!asked) {
    return (
      <button class="link small" onClick={() => setAsked(true)}>
        Calls with the same request
      </button>
    );
  }
  return (
    <div class="small same">
      {!same.data ? (
        <Mute>{same.error?.message ?? "Searching…"}</Mute>
      ) : others.length === 0 ? (
        <Mute>No other call has the same request.</Mute>
      ) : (
        <>
          <Mute>Same request, compare with:</Mute>
          {others.slice(0, 12).map((one) => (
            <a key={one.id} href={href("compare", { a: call.id, b: one.id })}>
              {exact(one.started_ms).slice(0, -4)} {one.model}
            </a>
          ))}
        </>
      )}
    </div>
  );
}

export function CallView({ id, close, previous, next, changed, filter }: ViewProps) {
  const { query } = usePlace();
  const session = useSession();
  const loaded = useApi<Call>(`/api/calls/${encodeURIComponent(id)}`);
  const call = loaded.data;
  const tab = query.get("tab") ?? "conversation";
  const report = useNewest((one: Call) => changed?.(one));
  useEffect(() => {
    if (call) report(call);
  }, [call]);
  // A call that runs, or that the sender has, is read again: its page changes in place.
  useInterval(
    2000,
    () => call && !archive && (call.result === "running" || call.delivery === "sending") && loaded.reload(),
  );
  const done = () => {
    loaded.reload();
    session.reload();
  };
  const compare = () => {
    if (!call) return;
    const selected = (query.get("sel") ?? "").split(",").filter((one) => one && one !== call.id);
    const other = selected.length === 1 ? selected[0] : query.get("with");
    if (other && other !== call.id) go(href("compare", { a: other, b: call.id }));
    else setQuery({ with: other ? null : call.id }, true);
  };
  const score = () => {
    if (tab !== "conversation") setQuery({ tab: null }, true);
    setTimeout(() => document.getElementById("score")?.focus());
  };
  useKeys({
    y: call && (() => void copyAs(call, "answer", "answer")),
    c: compare,
    s: session.canWrite && !call?.is_run && score,
    r: call && session.canWrite && (async () => (await retryCall(call)) && done()),
    ...(close && { Escape: close }),
  });
  if (loaded.error && !call) {
    return (
      <>
        {close && <CloseButton close={close} />}
        <Failure error={loaded.error} retry={loaded.reload} />
      </>
    );
  }
  if (!call) return <Loading />;
  const tabs: [string, string, number | null][] = [
    ["conversation", call.run ? "Input and output" : "Conversation", null],
    ["settings", "Settings", call.settings.length + call.tools.length],
    ["metadata", "Metadata", ownMetadata(call).length],
    ["delivery", "Delivery", null],
    ["raw", "Raw JSON", null],
  ];
  const marked = query.get("with");
  const isInTree = !!call.tree && call.tree.runs > 1 && place().page !== "trace";
  return (
    <div class={loaded.loading ? "call loading-next" : "call"} aria-busy={loaded.loading}>
      <header class="call-header">
        <div class="title">
          <h2>
            <Line text={(call.is_run ? call.name : call.model) ?? call.name ?? "call"} />
          </h2>
          <p class="mute">
            <Line
              text={[
                call.is_run ? call.kind : call.provider,
                call.class_name,
                call.name !== call.class_name && !call.is_run ? call.name : null,
              ]
                .filter(Boolean)
                .join(" · ")}
            />
          </p>
        </div>
        <div class="row tight">
          {previous && <IconButton icon="up" label="Previous call" keys="k" act={previous} />}
          {next && <IconButton icon="down" label="Next call" keys="j" act={next} />}
          <button
            class="button plain"
            aria-pressed={marked === call.id}
            title="Compare with another call (c)"
            onClick={compare}
          >
            <Icon name="compare" /> {marked && marked !== call.id ? "Compare with the marked" : "Compare"}
          </button>
          <CopyMenu call={call} />
          {close && place().page !== "call" && (
            <a
              class="button plain icon-only"
              href={href(`call/${call.id}`)}
              aria-label="Open as a page"
              title="Open as a page"
            >
              <Icon name="file" />
            </a>
          )}
          {close && <CloseButton close={close} />}
        </div>
      </header>
      {marked === call.id && <p class="notice small">Open another call and press Compare again.</p>}
      <Facts call={call} />
      {(call.marks.length > 0 || call.tags.length > 0 || (call.thread && !archive) || isInTree) && (
        <p class="row context">
          <Marks marks={call.marks} />
          {call.tags.slice(0, 8).map((tag) => (
            <a class="chip" key={tag} href={href("", { tag })}>
              <Line text={tag} />
            </a>
          ))}
          {call.thread && !archive && (
            <a class="small" href={href("thread", { thread: call.thread })}>
              Conversation <Line text={call.thread} />
            </a>
          )}
          {isInTree && call.tree && (
            <a class="row tight small" href={href(`trace/${call.tree.root_id}`, { open: call.id })}>
              <Icon name="tree" /> Trace of {call.tree.name ?? "its run"}
            </a>
          )}
        </p>
      )}
      {call.stream && call.stream.pieces > 1 && <StreamStrip stream={call.stream} took={call.took_us} />}
      <div class="tabs">
        <nav aria-label="Parts of the call">
          {tabs.map(([name, label, number]) => (
            <a key={name} href={tabLink(name)} aria-current={tab === name ? "true" : undefined}>
              {label} {number ? <Mute>{number}</Mute> : null}
            </a>
          ))}
        </nav>
        {tab === "conversation" && <FormSwitch />}
      </div>
      <div class="tab">
        {tab === "conversation" && (
          <>
            <Conversation call={call} />
            {!archive && !call.is_run && <Same key={call.id} call={call} />}
            <FollowUps call={call} done={done} />
          </>
        )}
        {tab === "settings" && <Settings call={call} />}
        {tab === "metadata" && <Metadata call={call} {...(filter && { filter })} />}
        {tab === "delivery" && <Delivery call={call} done={done} />}
        {tab === "raw" && <Raw call={call} />}
      </div>
    </div>
  );
}

function tabLink(name: string): string {
  const { page, id, query } = place();
  const to = new URLSearchParams(query);
  if (name === "conversation") to.delete("tab");
  else to.set("tab", name);
  return href([page, encodeURIComponent(id)].filter(Boolean).join("/"), to);
}

function CloseButton({ close }: { close: () => void }) {
  return <IconButton icon="cross" label="Close the call" keys="Esc" act={close} />;
}
