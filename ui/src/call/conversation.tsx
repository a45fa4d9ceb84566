import { useState } from "preact/hooks";
import type { Call, Message, Output } from "../api/types";
import { plural } from "../lib/format";
import { useRemembered } from "../lib/hooks";
import { href, place } from "../lib/router";
import { Choice } from "../parts/controls";
import { Icon } from "../parts/icons";
import { ValueView } from "../parts/json";
import { TextView } from "../parts/text";
import { Fold, MessageView } from "./message-view";

// A longer conversation folds its middle, so that the page stays light.
const MOST_SHOWN = 30;
const TAIL = 16;
const STEP = 60;

/** The form of texts: verbatim, or Markdown. */
function useMarkdown(): [boolean, (on: boolean) => void] {
  const [form, set] = useRemembered("texts", "verbatim");
  return [form === "markdown", (on) => set(on ? "markdown" : "verbatim")];
}

export function FormSwitch() {
  const [markdown, set] = useMarkdown();
  return (
    <Choice
      label="Form of texts"
      options={["Text", "Markdown"]}
      chosen={markdown ? 1 : 0}
      choose={(i) => set(i === 1)}
    />
  );
}

/** The candidates of a response: one below the other if there is one, else as tabs. */
export function Outputs({ outputs, messages, prefix }: { outputs: Output[]; messages: Message[]; prefix: string }) {
  const [markdown] = useMarkdown();
  const [chosen, setChosen] = useState(0);
  const shown = outputs[Math.min(chosen, outputs.length - 1)];
  if (!shown) return null;
  return (
    <>
      {outputs.length > 1 && (
        <Choice
          label="Candidates"
          options={outputs.map((_, i) => `Answer ${i + 1}`)}
          chosen={chosen}
          choose={setChosen}
        />
      )}
      <MessageView
        key={chosen}
        message={shown.message}
        markdown={markdown}
        anchor={`${prefix}answer${chosen}`}
        isAnswer
        note={shown.finish_reason && `finish: ${shown.finish_reason} ·`}
        answered={answeredBy(shown.message, messages)}
      />
    </>
  );
}

function answeredBy(message: Message, messages: Message[]) {
  const { answers } = message;
  return answers ? (messages[answers.message]?.tool_calls[answers.call] ?? null) : null;
}

export function Messages({ messages, prefix, from = 0 }: { messages: Message[]; prefix: string; from?: number }) {
  const [markdown] = useMarkdown();
  return (
    <>
      {messages.slice(from).map((message, i) => (
        <MessageView
          key={from + i}
          message={message}
          markdown={markdown}
          anchor={`${prefix}${from + i}`}
          answered={answeredBy(message, messages)}
        />
      ))}
    </>
  );
}

/** The messages of a request. Earlier turns, and the middle of a long conversation, are folded. */
function Request({ call }: { call: Call }) {
  const [opened, setOpened] = useState(0);
  const [markdown] = useMarkdown();
  const { messages, earlier } = call;
  const prefix = "message-";
  const head = messages[0]?.role === "system" ? 1 : 0;
  const same = earlier && earlier.same - head > 2 ? Math.min(earlier.same, messages.length) : 0;
  const cut = (same || (messages.length > MOST_SHOWN ? messages.length - TAIL : 0)) - opened;
  const view = (from: number, to: number) =>
    messages
      .slice(from, to)
      .map((message, i) => (
        <MessageView
          key={from + i}
          message={message}
          markdown={markdown}
          anchor={`${prefix}${from + i}`}
          answered={answeredBy(message, messages)}
        />
      ));
  if (cut <= head) return <>{view(0, messages.length)}</>;
  const hidden = plural(cut - head, "earlier message");
  return (
    <>
      {view(0, head)}
      <div class="earlier">
        <button class="button small" aria-expanded="false" onClick={() => setOpened(opened + STEP)}>
          <Icon name="right" /> {hidden}
        </button>
        {same > 0 && earlier && (
          <span class="mute small">
            the same as in <a href={href(`call/${earlier.as}`)}>the call before</a>
          </span>
        )}
      </div>
      {view(cut, messages.length)}
    </>
  );
}

function ErrorView({ call }: { call: Call }) {
  const error = call.error_detail;
  if (!error) return null;
  return (
    <section class="notice bad error" aria-label="Error">
      <Icon name="warning" />
      <div class="grow">
        <h3>
          {error.type}
          {error.status_code !== null && ` · status ${error.status_code}`}
        </h3>
        <TextView text={error.message} />
        {error.body && (
          <Fold label="Response of the provider">
            <TextView text={error.body} mono />
          </Fold>
        )}
        {error.headers && (
          <Fold label="Headers of the response">
            <ValueView value={{ json: error.headers }} />
          </Fold>
        )}
        {(error.module || error.request_id) && (
          <p class="mute small">
            {error.module}
            {error.request_id && ` · provider's request id ${error.request_id}`}
          </p>
        )}
      </div>
    </section>
  );
}

export function Conversation({ call }: { call: Call }) {
  return (
    <div class="conversation" key={place().page}>
      {call.content_note && <p class="notice">{call.content_note}</p>}
      {call.damage && (
        <p class="notice bad">
          <Icon name="warning" /> A stored event is unreadable: {call.damage}
        </p>
      )}
      <Request key={call.id} call={call} />
      <ErrorView call={call} />
      {call.error_detail && call.outputs.length > 0 && <p class="mute small">This part of the answer had arrived:</p>}
      <Outputs key={`${call.id}out`} outputs={call.outputs} messages={call.messages} prefix="message-" />
      {call.result === "running" && (
        <p class="mute row">
          <Icon name="ring" spin /> The call runs. Its answer appears here at its end.
        </p>
      )}
      {call.run && (
        <>
          {call.run.input && (
            <article class="message">
              <header>
                <h3>input</h3>
              </header>
              <div class="content">
                <ValueView value={call.run.input} />
              </div>
            </article>
          )}
          {call.run.output && (
            <article class="message answer">
              <header>
                <h3>output</h3>
              </header>
              <div class="content">
                <ValueView value={call.run.output} />
              </div>
            </article>
          )}
        </>
      )}
    </div>
  );
}
