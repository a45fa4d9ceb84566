import { useState } from "preact/hooks";
import { get, post } from "../api/client";
import type { CheckReport, Delivery, DeliveryInfo } from "../api/types";
import { ago, count, plural, size, time } from "../lib/format";
import { asError, useApi, useInterval } from "../lib/hooks";
import { toast } from "../lib/notes";
import { href } from "../lib/router";
import { useSession } from "../lib/session";
import { Confirm } from "../parts/dialog";
import { Callbacks, FollowUps, type Question, Reasons } from "./delivery-queues";
import { Failure, Loading } from "../parts/failure";
import { DataTable } from "../parts/data-table";
import { Icon } from "../parts/icons";
import { DeliveryState, deliveryStyle } from "../parts/state";
import { Line, Prose } from "../parts/text";
import { Grow, Mute } from "../parts/basics";

function Counts({ info }: { info: DeliveryInfo }) {
  return (
    <ul class="totals links">
      {(Object.keys(info.counts) as Delivery[]).map((word) => (
        <li key={word}>
          <a href={href("", { delivery: word })}>
            <span class="name">
              <DeliveryState delivery={word} request_id={null} muted={!info.counts[word]} />
            </span>
            <span class={`value ${info.counts[word] ? deliveryStyle(word) : "mute"}`}>
              {count(info.counts[word] ?? 0)}
            </span>
            {word === "waiting" && info.oldest_waiting_ms !== null && (
              <Mute small>oldest {ago(info.oldest_waiting_ms)}</Mute>
            )}
            {word === "unclear" && info.unclear_next_ms !== null && (
              <Mute small>looked up {time(info.unclear_next_ms)}</Mute>
            )}
          </a>
        </li>
      ))}
    </ul>
  );
}

function Sender({ info }: { info: DeliveryInfo }) {
  const { sender, last_run: run } = info;
  return (
    <section>
      <h2>Sender</h2>
      <p class="row">
        {sender ? (
          <>
            <span class="state ok">
              <Icon name="check" /> running
            </span>
            <span class="mute">
              process {sender.pid}, {sender.activity}, since {time(sender.since_ms)}
            </span>
          </>
        ) : (
          <>
            <span class="state mute">
              <Icon name="pause" /> not running.
            </span>
            <span class="mute">
              <Prose text={info.next_step?.replace(/^Next: /, "") ?? "`plsync run` sends the waiting calls."} />
            </span>
          </>
        )}
      </p>
      {run && (
        <p class={run.reason ? "notice bad" : "mute"}>
          {run.reason && <Icon name="warning" />}
          <span>
            Last run {run.ended_ms === null ? `began ${ago(run.began_ms)}` : `ended ${ago(run.ended_ms)}`}
            {run.outcome && `: ${run.outcome}`}
            <Prose text={`${run.reason ? `. ${run.reason}` : ""}${run.remedy ? `. ${run.remedy}` : ""}`} />
          </span>
        </p>
      )}
      {info.servers.length > 0 && (
        <DataTable caption="Servers" heads={["Server", "Key", "#Sent", "#Unclear", "Last"]}>
          {info.servers.map((one) => (
            <tr key={one.url + one.key}>
              <td>
                <Line text={one.url} /> {one.stand_in && <span class="chip warn">stand-in for tests</span>}{" "}
                {one.bound && <span class="chip">bound</span>}
              </td>
              <td class="mute mono">{one.key}</td>
              <td class="number">{count(one.acked)}</td>
              <td class="number">{count(one.in_doubt)}</td>
              <td class="mute">{one.last_ms === null ? "" : ago(one.last_ms)}</td>
            </tr>
          ))}
        </DataTable>
      )}
    </section>
  );
}

function JournalSection({ info }: { info: DeliveryInfo }) {
  const { journal } = info;
  const [report, setReport] = useState<CheckReport | null>(null);
  const [busy, setBusy] = useState(false);
  const check = async () => {
    setBusy(true);
    try {
      setReport(await get<CheckReport>("/api/check"));
    } catch (error) {
      toast(asError(error).message);
    }
    setBusy(false);
  };
  const quota = journal.quota;
  const limits = quota
    ? [
        quota.max_bytes && size(quota.max_bytes),
        quota.max_age && plural(Math.round(quota.max_age / 86_400), "day"),
        quota.over && "exceeded",
      ].filter(Boolean)
    : [];
  const facts: [string, string][] = [
    [
      "Size",
      `${size(journal.used_bytes)} used of ${size(journal.lmdb_bytes)}, ${size(journal.spool_bytes)} in the spool`,
    ],
    ["Quota", limits.length ? limits.join(", ") : "none"],
    [
      "Removed",
      `${count(journal.pruned)} pruned, ${count(journal.forgotten)} forgotten, ${count(journal.dropped)} dropped`,
    ],
    ["Free on the disk", journal.disk_free === null ? "" : size(journal.disk_free)],
    [
      "Programs that record",
      journal.writers
        .filter((one) => one.alive)
        .map((one) => `process ${one.pid}`)
        .join(", ") || "none at present",
    ],
  ];
  return (
    <section>
      <div class="row section-head">
        <h2>Journal</h2>
        <Grow />
        <button class="button small" disabled={busy} onClick={check}>
          {busy ? <Icon name="ring" spin /> : <Icon name="check" />} Check now
        </button>
      </div>
      {journal.failures > 0 && (
        <p class="notice bad">
          <Icon name="warning" /> {plural(journal.failures, "event")} could not be written. {journal.last_failure}
        </p>
      )}
      <div aria-live="polite">
        {report && (
          <div class={report.ok ? "notice" : "notice bad"}>
            <Icon name={report.ok ? "check" : "warning"} />
            <div class="grow">
              <p>
                {report.ok ? "The check found no damage" : plural(report.problems.length, "problem")}:{" "}
                {plural(report.records, "record")}, {plural(report.events, "event")}.
              </p>
              {report.problems.map((one) => (
                <p key={one.where + one.what} class="small">
                  <code>{one.where}</code> {one.what} {one.kept && <Mute>{one.kept}</Mute>}
                </p>
              ))}
              {report.notes.map((note) => (
                <p key={note} class="small mute">
                  {note}
                </p>
              ))}
            </div>
          </div>
        )}
      </div>
      <dl class="values">
        {facts
          .filter(([, value]) => value)
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
      </dl>
    </section>
  );
}

export function DeliveryPage() {
  const session = useSession();
  const loaded = useApi<DeliveryInfo>("/api/delivery");
  const [question, setQuestion] = useState<Question | null>(null);
  useInterval(5000, () => question || loaded.reload());
  const info = loaded.data;
  const retry = async (body: object) => {
    try {
      const done = await post<{ records: number; followups: number; callbacks: number }>("/api/retry", body);
      const parts = [
        done.records && plural(done.records, "call"),
        done.followups && plural(done.followups, "follow-up"),
        done.callbacks && plural(done.callbacks, "callback"),
      ].filter(Boolean);
      toast(
        parts.length ? `${parts.join(", ")} waiting again. The next plsync run sends them.` : "Nothing needed a retry.",
      );
      loaded.reload();
      session.reload();
    } catch (error) {
      toast(asError(error).message);
    }
  };
  if (loaded.error && !info) return <Failure error={loaded.error} retry={loaded.reload} />;
  if (!info) return <Loading />;
  return (
    <div class="page">
      <header>
        <h1>Delivery</h1>
      </header>
      {loaded.error && <Failure error={loaded.error} retry={loaded.reload} />}
      <Counts info={info} />
      <Sender info={info} />
      <Reasons title="Refused" word="refused" groups={info.refused} total={info.counts.refused} ask={setQuestion} />
      <Reasons title="Held" word="held" groups={info.held} total={info.counts.held} ask={setQuestion} />
      <FollowUps info={info} ask={setQuestion} />
      <Callbacks info={info} ask={setQuestion} />
      <JournalSection info={info} />
      {question && (
        <Confirm
          title={question.title}
          text={question.text}
          action="Retry"
          act={() => retry(question.body)}
          close={() => setQuestion(null)}
        />
      )}
    </div>
  );
}
