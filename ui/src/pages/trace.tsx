import { useMemo, useState } from "preact/hooks";
import type { Tree, TreeRun } from "../api/types";
import { CallView } from "../call/call-view";
import { cost, duration, exact, plural, tokens } from "../lib/format";
import { useApi } from "../lib/hooks";
import { useKeys } from "../lib/keys";
import { href, setQuery, usePlace } from "../lib/router";
import { IconButton } from "../parts/controls";
import { Failure, Loading } from "../parts/failure";
import { Icon, type IconName } from "../parts/icons";
import { ResultState } from "../parts/state";
import { Line } from "../parts/text";

const ICONS: Record<string, IconName> = {
  chat: "answer",
  llm: "answer",
  tool: "tool",
  retriever: "search",
  chain: "tree",
  prompt: "person",
  parser: "columns",
};
const PAGE = 150;

/** The run of an agent or a chain: its tree, with each run on a timeline. */
export function TracePage() {
  const { id, query } = usePlace();
  const tree = useApi<Tree>(`/api/calls/${encodeURIComponent(id)}/tree`);
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const [shown, setShown] = useState(PAGE);
  const open = query.get("open") ?? "";
  const runs = tree.data?.runs ?? [];
  const visible = useMemo(() => {
    const hidden = new Set<string>();
    return runs.filter((run) => {
      const isHidden = run.parent_id !== null && (hidden.has(run.parent_id) || closed.has(run.parent_id));
      if (isHidden) hidden.add(run.id);
      return !isHidden;
    });
  }, [runs, closed]);
  const show = (next: string | null) => setQuery({ open: next, ...(open ? {} : { tab: null }) }, !!open && !!next);
  const move = (step: number) => {
    const at = visible.findIndex((run) => run.id === open);
    const next = visible[at < 0 ? 0 : at + step];
    if (next) show(next.id);
  };
  useKeys({ j: () => move(1), k: () => move(-1), Escape: open ? () => show(null) : null });
  if (tree.error) return <Failure error={tree.error} retry={tree.reload} />;
  if (!tree.data) return <Loading />;
  const { name, started_ms } = tree.data;
  const end = Math.max(1, tree.data.took_us ?? 0, ...runs.map((run) => run.offset_us + (run.took_us ?? 0)));
  const calls = runs.filter((run) => run.is_call);
  const spent = calls.reduce(
    (sum, run) => ({ input: sum.input + (run.tokens?.input ?? 0), output: sum.output + (run.tokens?.output ?? 0) }),
    { input: 0, output: 0 },
  );
  const price = calls.reduce((sum, run) => sum + (run.cost ?? 0), 0);
  const errors = runs.filter((run) => run.result === "error").length;
  const parents = new Set(runs.map((run) => run.parent_id));
  const toggle = (run: TreeRun) => {
    const next = new Set(closed);
    if (!next.delete(run.id)) next.add(run.id);
    setClosed(next);
  };
  return (
    <div class={open ? "trace-page with-call" : "trace-page"}>
      <h1 class="hidden-text">Trace</h1>
      <div class="trace">
        <header>
          <h2>
            <Line text={name ?? "Trace"} />
          </h2>
          <p class="mute row">
            <span>{exact(started_ms)}</span>
            <span>{duration(tree.data.took_us)}</span>
            <span>{plural(runs.length, "run")}</span>
            <span>{plural(calls.length, "call")}</span>
            {spent.input + spent.output > 0 && <span>{tokens(spent)} tokens</span>}
            {price > 0 && <span>{cost(price)}</span>}
            {errors > 0 && <span class="bad">{plural(errors, "error")}</span>}
          </p>
        </header>
        <table class="table tree">
          <caption class="hidden-text">Runs of the trace, parents before their children</caption>
          <thead>
            <tr>
              <th scope="col">Run</th>
              <th scope="col">Result</th>
              <th scope="col" class="number">
                Tokens
              </th>
              <th scope="col" class="time-axis">
                <span>0</span>
                <span>{duration(end / 2)}</span>
                <span>{duration(end)}</span>
              </th>
              <th scope="col" class="number">
                Took
              </th>
            </tr>
          </thead>
          <tbody>
            {visible.slice(0, shown).map((run) => (
              <tr
                key={run.id}

                class={run.id === open ? "open" : ""}
                onClick={(event) => (event.target as Element).closest("a, button") || show(run.id)}
              >
                <td class="run">
                  <span
                    class="run-name"
                    ref={(element) => element?.style.setProperty("--depth", String(Math.min(run.depth, 24)))}
                  >
                    {parents.has(run.id) ? (
                      <IconButton
                        small
                        icon={closed.has(run.id) ? "right" : "down"}
                        label={`Children of ${run.name ?? run.kind}`}
                        expanded={!closed.has(run.id)}
                        act={() => toggle(run)}
                      />
                    ) : (
                      <span class="gap" />
                    )}
                    <Icon name={ICONS[run.kind] ?? "tree"} />
                    <a href={openLink(query, id, run.id)} aria-current={run.id === open ? "true" : undefined}>
                      <Line text={run.name ?? run.kind} />
                    </a>
                    {run.is_call && run.model && run.model !== run.name && (
                      <span class="mute small model">
                        <Line text={run.model} />
                      </span>
                    )}
                  </span>
                </td>
                <td>
                  <ResultState fact={run} />
                </td>
                <td class="number mute">{tokens(run.tokens)}</td>
                <td class="time-axis">
                  <svg viewBox="0 0 1000 16" preserveAspectRatio="none" aria-hidden="true">
                    <rect
                      class={`span ${run.result === "error" ? "errors" : run.is_call ? "calls" : "other"}`}
                      x={(run.offset_us / end) * 1000}
                      width={Math.max(3, ((run.took_us ?? 0) / end) * 1000)}
                      y="3"
                      height="10"
                      rx="2"
                    />
                  </svg>
                </td>
                <td class="number">{duration(run.took_us)}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {visible.length > shown && (
          <button class="button more" onClick={() => setShown(shown + PAGE)}>
            {plural(visible.length - shown, "more run")}
          </button>
        )}
        {tree.data.truncated && <p class="mute small">The trace has more runs than this page shows.</p>}
      </div>
      {open && (
        <section class="detail" aria-label="Run">
          <CallView id={open} close={() => show(null)} previous={() => move(-1)} next={() => move(1)} />
        </section>
      )}
    </div>
  );
}

function openLink(query: URLSearchParams, root: string, id: string): string {
  const to = new URLSearchParams(query);
  to.set("open", id);
  return href(`trace/${encodeURIComponent(root)}`, to);
}
