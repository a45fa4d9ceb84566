import type { DeliveryInfo, FollowUp, ReasonGroup } from "../api/types";
import { followUpText } from "../call/follow-ups";
import { ago, count, plural } from "../lib/format";
import { href } from "../lib/router";
import { useSession } from "../lib/session";
import { Grow } from "../parts/basics";
import { DataTable } from "../parts/data-table";
import { Icon } from "../parts/icons";
import { Line, Prose } from "../parts/text";

/** An action that the page confirms before it starts. */
export interface Question {
  title: string;
  text: string;
  body: object;
}

export function Reasons({
  title,
  word,
  groups,
  total,
  ask,
}: {
  title: string;
  word: "refused" | "held";
  groups: ReasonGroup[];
  total: number;
  ask: (question: Question) => void;
}) {
  const { canWrite } = useSession();
  if (!groups.length) return null;
  return (
    <section>
      <div class="row section-head">
        <h2>{title}</h2>
        <Grow />
        {canWrite && (
          <button
            class="button small"
            onClick={() =>
              ask({
                title: `Retry all ${word} calls?`,
                text: `${plural(total, "call")} will wait again. The next plsync run sends them.`,
                body: { delivery: [word] },
              })
            }
          >
            <Icon name="retry" /> Retry all {count(total)}
          </button>
        )}
      </div>
      <DataTable caption={`${title} by reason`} heads={["Reason", "#Calls", "Newest", ""]} class="reasons">
        {groups.map((group) => (
          <tr key={group.reason}>
            <td class="title">
              <Line text={group.reason || "no reason stored"} />
            </td>
            <td class="number">{count(group.count)}</td>
            <td class="mute nowrap">{ago(group.newest_ms)}</td>
            <td class="number nowrap">
              <a
                class="button plain small"
                href={
                  group.ids.length === 1
                    ? href("", { delivery: word, open: group.ids[0] ?? "" })
                    : href("", { delivery: word })
                }
                aria-label={`Show the calls: ${group.reason}`}
              >
                Show
              </a>{" "}
              {canWrite && (
                <button
                  class="button small"
                  aria-label={`Retry the calls: ${group.reason}`}
                  onClick={() =>
                    ask({
                      title: `Retry ${plural(group.count, "call")}?`,
                      text: `Their reason: ${group.reason}. Mend the cause first, or they are ${word} again.`,
                      body: { reason: group.reason, delivery: word },
                    })
                  }
                >
                  Retry
                </button>
              )}
            </td>
          </tr>
        ))}
      </DataTable>
    </section>
  );
}

export function FollowUps({ info, ask }: { info: DeliveryInfo; ask: (question: Question) => void }) {
  const { canWrite } = useSession();
  const { waiting, stranded, refused, refused_count, waiting_list, sent } = info.followups;
  if (!waiting && !refused.length && !sent && !stranded) return null;
  const row = (one: FollowUp, state: preact.ComponentChildren) => (
    <tr key={one.number}>
      <td class="title">
        <Line text={followUpText(one)} />
        {one.last_error && <span class="bad small">{one.last_error}</span>}
      </td>
      <td>
        {one.record_id && (
          <a class="mono" href={href(`call/${one.record_id}`)}>
            {one.record_id.slice(-8)}
          </a>
        )}
      </td>
      <td>{state}</td>
      <td class="mute nowrap">{one.queued_ms === null ? "" : ago(one.queued_ms)}</td>
    </tr>
  );
  return (
    <section>
      <div class="row section-head">
        <h2>Follow-ups</h2>
        <span class="mute small">
          {count(waiting)} waiting, {count(refused_count)} refused, {count(sent)} sent
          {stranded > 0 && `, ${count(stranded)} of calls that were not sent`}
        </span>
        <Grow />
        {canWrite && refused.length > 0 && (
          <button
            class="button small"
            onClick={() =>
              ask({
                title: "Retry the refused follow-ups?",
                text: `${plural(refused_count, "follow-up")} will wait again. The next plsync run sends them.`,
                body: { followups: true },
              })
            }
          >
            <Icon name="retry" /> Retry
          </button>
        )}
      </div>
      {refused.length + waiting_list.length > 0 && (
        <DataTable
          caption="Follow-ups that are not sent"
          heads={["Follow-up", "Call", "State", "Queued"]}
          class="reasons"
        >
          {refused.map((one) =>
            row(
              one,
              <span class="state bad">
                <Icon name="cross" /> refused
              </span>,
            ),
          )}
          {waiting_list.map((one) =>
            row(
              one,
              <span class="state mute">
                <Icon name="clock" /> waiting
              </span>,
            ),
          )}
        </DataTable>
      )}
    </section>
  );
}

export function Callbacks({ info, ask }: { info: DeliveryInfo; ask: (question: Question) => void }) {
  const { canWrite } = useSession();
  if (!info.callbacks.length) return null;
  const dead = info.callbacks.reduce((sum, one) => sum + one.dead, 0);
  return (
    <section>
      <div class="row section-head">
        <h2>Callbacks</h2>
        <Grow />
        {canWrite && dead > 0 && (
          <button
            class="button small"
            onClick={() =>
              ask({
                title: "Retry the callbacks that were given up?",
                text: `${plural(dead, "callback")} will wait again.`,
                body: { callbacks: true },
              })
            }
          >
            <Icon name="retry" /> Retry
          </button>
        )}
      </div>
      <DataTable caption="Callbacks by function" heads={["Function", "#Waiting", "#Given up", "Program"]}>
        {info.callbacks.map((one) => (
          <tr key={one.sink}>
            <td>
              <code>
                <Line text={one.sink} />
              </code>
              {one.last_error && (
                <span class="bad small block">
                  <Line text={one.last_error} />
                </span>
              )}
            </td>
            <td class="number">{count(one.waiting)}</td>
            <td class={one.dead ? "number bad" : "number mute"}>{count(one.dead)}</td>
            <td class="mute">
              {one.pids.length > 0 && `process ${one.pids.join(", ")} `}
              {one.way && <Prose text={one.way} />}
            </td>
          </tr>
        ))}
      </DataTable>
    </section>
  );
}
