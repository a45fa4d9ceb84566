import type { ComponentChildren } from "preact";
import type { Prompt } from "../api/types";
import { ago, plural } from "../lib/format";
import { useApi } from "../lib/hooks";
import { href, setQuery, usePlace } from "../lib/router";
import { Failure, Loading } from "../parts/failure";
import { Icon } from "../parts/icons";
import { Line, TextView } from "../parts/text";
import { visible } from "../parts/verbatim";
import { Mute } from "../parts/basics";

/** A template with its variables marked. */
function Template({ text, variables }: { text: string; variables: string[] }) {
  const known = new Set(variables);
  const parts: ComponentChildren[] = [];
  let from = 0;
  for (const found of text.matchAll(/\{\{?\s*([\w.]+)\s*\}?\}/g)) {
    if (!known.has(found[1] ?? "")) continue;
    parts.push(visible(text.slice(from, found.index)), <mark class="variable">{found[0]}</mark>);
    from = found.index + found[0].length;
  }
  return (
    <div class="text" dir="auto">
      {parts}
      {visible(text.slice(from))}
    </div>
  );
}

function PromptView({ prompt }: { prompt: Prompt }) {
  return (
    <div class="prompt">
      <header class="row">
        <h2>
          <Line text={prompt.name} />
        </h2>
        {prompt.version !== null && <span class="chip">version {prompt.version}</span>}
        {prompt.label && <span class="chip">{prompt.label}</span>}
        <span class="mute small">
          {[prompt.model, prompt.fetched_ms !== null && `fetched ${ago(prompt.fetched_ms)}`]
            .filter(Boolean)
            .join(" · ")}
        </span>
      </header>
      {prompt.messages.map((message, i) => (
        <article class={`message ${message.role}`} key={i}>
          <header>
            <h3>{message.role}</h3>
          </header>
          <div class="content">
            {message.text.folded || message.text.hidden ? (
              <TextView text={message.text} />
            ) : (
              <Template text={message.text.text} variables={prompt.variables} />
            )}
          </div>
        </article>
      ))}
      {prompt.variables.length > 0 && (
        <p class="row small">
          <Mute>Variables</Mute>
          {prompt.variables.map((name) => (
            <code class="chip" key={name}>
              {name}
            </code>
          ))}
        </p>
      )}
      <h3>{plural(prompt.calls_count, "linked call")}</h3>
      <ul class="plain-list">
        {prompt.calls.map((call) => (
          <li key={call.record_id}>
            <a class="mono" href={href(`call/${call.record_id}`)}>
              {call.record_id.slice(-12)}
            </a>{" "}
            <Mute small>
              {[
                call.request_id !== null && `#${call.request_id}`,
                call.version !== null && `version ${call.version}`,
                call.label,
              ]
                .filter(Boolean)
                .join(" · ")}
            </Mute>
          </li>
        ))}
      </ul>
    </div>
  );
}

const keyOf = (prompt: Prompt) => `${prompt.name}@${prompt.version ?? ""}@${prompt.label ?? ""}`;

export function PromptsPage() {
  const { query } = usePlace();
  const loaded = useApi<{ prompts: Prompt[] }>("/api/prompts");
  if (loaded.error) return <Failure error={loaded.error} retry={loaded.reload} />;
  if (!loaded.data) return <Loading />;
  const { prompts } = loaded.data;
  if (!prompts.length) {
    return (
      <div class="empty">
        <h1>No prompts are kept</h1>
        <p>A program that calls plsync.prompts.get keeps its templates here, and so does this command:</p>
        <pre>plsync prompts pull NAME</pre>
      </div>
    );
  }
  const chosen = prompts.find((prompt) => keyOf(prompt) === query.get("prompt")) ?? prompts[0];
  return (
    <div class="page prompts">
      <header>
        <h1>Prompts</h1>
      </header>
      <div class="split">
        <nav aria-label="Prompts">
          <ul>
            {prompts.map((prompt) => (
              <li key={keyOf(prompt)}>
                <button
                  class="item"
                  aria-pressed={prompt === chosen}
                  onClick={() => setQuery({ prompt: keyOf(prompt) })}
                >
                  <Icon name="file" />
                  <span class="grow">
                    <Line text={prompt.name} />
                  </span>
                  <Mute small>
                    {[prompt.version !== null && `v${prompt.version}`, prompt.label].filter(Boolean).join(" · ")}
                  </Mute>
                </button>
              </li>
            ))}
          </ul>
        </nav>
        {chosen && <PromptView prompt={chosen} />}
      </div>
    </div>
  );
}
