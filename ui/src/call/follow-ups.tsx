import { useState } from "preact/hooks";
import { post } from "../api/client";
import type { Call, FollowUp } from "../api/types";
import { time } from "../lib/format";
import { asError } from "../lib/hooks";
import { toast } from "../lib/notes";
import { useSession } from "../lib/session";
import { Icon } from "../parts/icons";
import { Line } from "../parts/text";
import { ScoreForm } from "./score-form";
import { Mute } from "../parts/basics";

const STYLES = { sent: ["check", "mute"], waiting: ["clock", "mute"], refused: ["cross", "bad"] } as const;

/** A follow-up in words: `score default = 100`. */
export function followUpText({ op, payload }: Pick<FollowUp, "op" | "payload">): string {
  if (op === "score") return `score ${payload.name ?? payload.score_name ?? "default"} = ${payload.score}`;
  const metadata = payload.metadata;
  if (op === "metadata" && metadata && typeof metadata === "object") {
    return `metadata ${Object.entries(metadata)
      .map(([key, value]) => `${key} = ${value}`)
      .join(", ")}`;
  }
  return `${op} ${Object.values(payload)
    .filter((value) => typeof value !== "object")
    .join(" ")}`;
}

export function FollowUpList({ followups }: { followups: FollowUp[] }) {
  return (
    <ul class="follow-ups">
      {followups.map((one) => {
        const [icon, style] = STYLES[one.word] ?? STYLES.waiting;
        return (
          <li key={one.number}>
            <span class="grow">
              <Line text={followUpText(one)} />
            </span>
            <span class={`state ${style}`}>
              <Icon name={icon} />
              {one.word}
            </span>
            <Mute small>{time(one.sent_ms ?? one.queued_ms ?? 0)}</Mute>
            {one.last_error && one.word !== "sent" && <span class="bad small full">{one.last_error}</span>}
          </li>
        );
      })}
    </ul>
  );
}

function MetadataForm({ submit }: { submit: (key: string, value: string) => Promise<void> }) {
  const [key, setKey] = useState("");
  const [value, setValue] = useState("");
  return (
    <form
      class="row score"
      onSubmit={(event) => {
        event.preventDefault();
        submit(key.trim(), value).then(
          () => {
            setKey("");
            setValue("");
          },
          (error) => toast(asError(error).message),
        );
      }}
    >
      <label>
        Key <input class="field" required value={key} onInput={(event) => setKey(event.currentTarget.value)} />
      </label>
      <label>
        Value <input class="field" required value={value} onInput={(event) => setValue(event.currentTarget.value)} />
      </label>
      <button type="submit" class="button" disabled={!key.trim() || !value}>
        Queue metadata
      </button>
    </form>
  );
}

/** The scores and metadata of a call, and the forms that queue more. */
export function FollowUps({ call, done }: { call: Call; done: () => void }) {
  const { canWrite } = useSession();
  // A run that is not a call has no request id, which a follow-up needs.
  if (call.is_run || (!canWrite && !call.followups.length)) return null;
  const path = `/api/calls/${call.id}`;
  return (
    <section class="follow-up-box" aria-label="Scores and metadata">
      <h3>Scores and metadata</h3>
      {call.followups.length > 0 && <FollowUpList followups={call.followups} />}
      {canWrite && (
        <>
          <ScoreForm
            submit={async (score, name) => {
              await post(`${path}/score`, { score, ...(name && { name }) });
              toast(`Score ${score} queued. The next plsync run sends it.`);
              done();
            }}
          />
          <MetadataForm
            submit={async (key, value) => {
              await post(`${path}/metadata`, { metadata: { [key]: value } });
              toast("Metadata queued. The next plsync run sends it.");
              done();
            }}
          />
        </>
      )}
    </section>
  );
}
