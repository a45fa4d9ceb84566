import { useState } from "preact/hooks";
import { archive } from "../api/archive";
import { getBlob, getText, post, saveBlob } from "../api/client";
import type { Call, Named } from "../api/types";
import { ago, exact, json, plural, size } from "../lib/format";
import { asError, useApi } from "../lib/hooks";
import { copy, toast } from "../lib/notes";
import { href } from "../lib/router";
import { useSession } from "../lib/session";
import { Choice } from "../parts/controls";
import { Icon } from "../parts/icons";
import { JsonTree, ValueView } from "../parts/json";
import { DeliveryState } from "../parts/state";
import { Line, Plain, Prose, TextView } from "../parts/text";
import { Fold } from "./message-view";
import { FollowUps } from "./follow-ups";
import { Grow, Mute } from "../parts/basics";

function Values({ values, filter }: { values: Named[]; filter?: (name: string, value: string) => void }) {
  return (
    <dl class="values">
      {values.map(({ name, value }) => {
        const scalar =
          "json" in value && (typeof value.json !== "object" || value.json === null) ? String(value.json) : null;
        return (
          <div key={name}>
            <dt>
              <Line text={name} />
            </dt>
            <dd>
              <ValueView value={value} />
              {filter && scalar && scalar.length < 200 && (
                <button
                  class="link small"
                  aria-label={`Show only calls with ${name} = ${scalar}`}
                  onClick={() => filter("meta", `${name}=${scalar}`)}
                >
                  <Icon name="filter" />
                </button>
              )}
            </dd>
          </div>
        );
      })}
    </dl>
  );
}

export function Settings({ call }: { call: Call }) {
  return (
    <>
      {call.settings.length ? <Values values={call.settings} /> : <p class="mute">The call has no settings.</p>}
      {call.tools.length > 0 && (
        <section>
          <h3>{plural(call.tools.length, "tool")}</h3>
          {call.tools.map((tool) => (
            <Fold key={tool.name} label={<strong class="mono">{tool.name}</strong>}>
              {tool.description && <TextView text={tool.description} />}
              <ValueView value={tool.schema} />
            </Fold>
          ))}
        </section>
      )}
      {call.settings_hidden.length > 0 && (
        <Fold label={`${plural(call.settings_hidden.length, "setting")} that LangChain repeats`}>
          <Values values={call.settings_hidden} />
        </Fold>
      )}
    </>
  );
}

/** The metadata that the program added. */
export function ownMetadata(call: Call): Named[] {
  const hidden = new Set(call.metadata_hidden.map(({ name }) => name));
  return call.metadata_all.filter(({ name }) => !hidden.has(name));
}

export function Metadata({ call, filter }: { call: Call; filter?: (name: string, value: string) => void }) {
  const own = ownMetadata(call);
  return (
    <>
      {own.length ? (
        <Values values={own} {...(filter && { filter })} />
      ) : (
        <p class="mute">The program added no metadata.</p>
      )}
      {call.tags.length > 0 && (
        <p class="row">
          <Mute>Tags</Mute>
          {call.tags.map((tag) => (
            <a class="chip" key={tag} href={href("", { tag })}>
              <Line text={tag} />
            </a>
          ))}
        </p>
      )}
      {call.metadata_hidden.length > 0 && (
        <Fold label={`${plural(call.metadata_hidden.length, "key")} of LangChain`}>
          <Values values={call.metadata_hidden} />
        </Fold>
      )}
    </>
  );
}

function Id({ name, value }: { name: string; value: string | null }) {
  if (!value) return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd class="row">
        <code>{value}</code>
        <button
          class="link"
          aria-label={`Copy the ${name.toLowerCase()}`}
          onClick={() => copy(value, name.toLowerCase())}
        >
          <Icon name="copy" />
        </button>
      </dd>
    </div>
  );
}

export async function retryCall(call: Call): Promise<boolean> {
  try {
    const { records } = await post<{ records: number }>("/api/retry", { ids: [call.id] });
    toast(
      records
        ? "The call waits again. The next plsync run sends it."
        : "The call needs no retry: it waits, or it is sent.",
    );
    return records > 0;
  } catch (error) {
    toast(asError(error).message);
    return false;
  }
}

export function Delivery({ call, done }: { call: Call; done: () => void }) {
  const { canWrite } = useSession();
  const detail = call.delivery_detail;
  const canRetry = canWrite && ["refused", "held"].includes(call.delivery);
  return (
    <>
      <div class="row">
        <DeliveryState {...call} />
        {detail.note && (
          <span class="mute">
            <Prose text={detail.note.replace(/^[:\s]+/, "")} />
          </span>
        )}
      </div>
      {detail.last_error && (
        <div class="notice bad">
          <Icon name="warning" />
          <div class="grow">
            <Plain text={detail.last_error} />
          </div>
        </div>
      )}
      {canRetry && (
        <p class="row">
          <button class="button primary" onClick={async () => (await retryCall(call)) && done()}>
            <Icon name="retry" /> Retry
          </button>
          <Mute small>The next plsync run sends it again.</Mute>
        </p>
      )}
      <dl class="values">
        {detail.server && (
          <div>
            <dt>Server</dt>
            <dd>{detail.server}</dd>
          </div>
        )}
        {detail.acked_ms !== null && (
          <div>
            <dt>Sent</dt>
            <dd>
              {exact(detail.acked_ms)} <Mute>({ago(detail.acked_ms)})</Mute>
            </dd>
          </div>
        )}
        {detail.due_ms !== null && call.delivery !== "sent" && (
          <div>
            <dt>Due</dt>
            <dd>{exact(detail.due_ms)}</dd>
          </div>
        )}
        <div>
          <dt>Attempts</dt>
          <dd>{detail.attempts}</dd>
        </div>
        <div>
          <dt>Lane</dt>
          <dd>{detail.lane || "none: it keeps no order"}</dd>
        </div>
        {detail.sink && (
          <div>
            <dt>Callback</dt>
            <dd>
              <code>{detail.sink}</code> {detail.sink_state && <Mute>{detail.sink_state}</Mute>}
            </dd>
          </div>
        )}
        <Id name="Record id" value={call.id} />
        <Id name="Run id" value={call.run_id} />
        <Id name="Parent run id" value={call.parent_run_id} />
        <Id name="Trace id" value={call.trace_id} />
        <Id name="Span id" value={call.span_id} />
        <Id name="Command" value={detail.command} />
        <div>
          <dt>Size</dt>
          <dd>{size(call.size)}</dd>
        </div>
      </dl>
      <FollowUps call={call} done={done} />
    </>
  );
}

/** The record as JSON: as a tree, or as text. */
export function Raw({ call }: { call: Call }) {
  const [asText, setAsText] = useState(false);
  const path = `/api/calls/${call.id}/raw`;
  const raw = useApi<unknown>(path);
  const value = typeof raw.data === "string" ? JSON.parse(raw.data) : raw.data;
  const run = (action: (text: string) => void) => getText(path).then(action, (error) => toast(asError(error).message));
  return (
    <>
      <div class="row">
        <Choice
          label="Form of the JSON"
          options={["Tree", "Text"]}
          chosen={asText ? 1 : 0}
          choose={(i) => setAsText(i === 1)}
        />
        <Grow />
        <button class="button small" onClick={() => run((text) => void copy(text, "JSON"))}>
          <Icon name="copy" /> Copy
        </button>
        <button
          class="button small"
          onClick={() =>
            archive
              ? run((text) => saveBlob(new Blob([text], { type: "application/json" }), `${call.id}.json`))
              : getBlob(`${path}?download=1`).then(
                  (blob) => saveBlob(blob, `${call.id}.json`),
                  (error) => toast(asError(error).message),
                )
          }
        >
          <Icon name="download" /> Download
        </button>
      </div>
      {raw.error && <p class="bad">{raw.error.message}</p>}
      {value != null &&
        (asText ? (
          <TextView mono text={{ text: json(value), chars: json(value).length }} />
        ) : (
          <JsonTree value={value} />
        ))}
    </>
  );
}
