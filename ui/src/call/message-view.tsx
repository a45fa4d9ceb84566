import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { getBlob, saveBlob } from "../api/client";
import type { Message, Part, ToolCall } from "../api/types";
import { plural, size } from "../lib/format";
import { asError } from "../lib/hooks";
import { copy, toast } from "../lib/notes";
import { IconButton } from "../parts/controls";
import { Icon, type IconName } from "../parts/icons";
import { ValueView, valueText } from "../parts/json";
import { Line, TextView, wholeText } from "../parts/text";
import { Grow, Mute } from "../parts/basics";

const ICONS: Record<string, IconName> = {
  system: "gear",
  developer: "gear",
  human: "person",
  ai: "answer",
  tool: "tool",
  prompt: "person",
};

type Media = Extract<Part, { kind: "media" }>;

/** An image, a sound or a film from the record. Its bytes come from the server, and never from elsewhere. */
function MediaView({ media }: { media: Media }) {
  const [url, setUrl] = useState("");
  const [error, setError] = useState("");
  const [large, setLarge] = useState(false);
  useEffect(() => {
    if (!media.shows) return;
    let made = "";
    let gone = false;
    getBlob(media.src).then(
      (blob) => {
        if (!gone) setUrl((made = URL.createObjectURL(blob)));
      },
      (failure) => setError(asError(failure).message),
    );
    return () => {
      gone = true;
      URL.revokeObjectURL(made);
    };
  }, [media.src]);
  const name = media.name ?? `medium-${media.n}`;
  const label = `${media.mime}, ${size(media.bytes)}`;
  const download = () =>
    getBlob(media.src).then(
      (blob) => saveBlob(blob, name),
      (failure) => toast(asError(failure).message),
    );
  return (
    <figure class="media">
      {media.shows === "image" && url && (
        <button
          class={large ? "image large" : "image"}
          aria-label={`${label}, ${large ? "small" : "full"} size`}
          onClick={() => setLarge(!large)}
        >
          <img src={url} alt={`${media.name ?? "Image"}, ${label}`} />
        </button>
      )}
      {media.shows === "audio" && url && <audio controls src={url} aria-label={label} />}
      {media.shows === "video" && url && <video controls src={url} aria-label={label} />}
      <figcaption class="mute small row">
        <Icon name="file" /> <Line text={media.name ? `${media.name} · ${label}` : label} />
        {error && <span class="bad">{error}</span>}
        <button class="link" onClick={download}>
          Download
        </button>
      </figcaption>
    </figure>
  );
}

function PartView({ part, markdown }: { part: Part; markdown: boolean }) {
  if (part.kind === "text") return <TextView text={part.text} markdown={markdown} />;
  if (part.kind === "thinking") {
    return (
      <Fold label={`Thinking, ${plural(part.text.chars, "character")}`}>
        <div class="thinking">
          <TextView text={part.text} markdown={markdown} />
        </div>
      </Fold>
    );
  }
  if (part.kind === "refusal") {
    return (
      <div class="notice warn">
        <Icon name="slash" />
        <div class="grow">
          <p class="strong">Refusal</p>
          <TextView text={part.text} />
        </div>
      </div>
    );
  }
  if (part.kind === "media") return <MediaView media={part} />;
  if (part.kind === "link") {
    return (
      <p class="row small">
        <Icon name="file" />
        <Mute>{part.mime ?? part.name ?? "link"}, not loaded:</Mute>
        <span class="url mono">
          <Line text={part.url} />
        </span>
        <button class="link" aria-label="Copy the address" onClick={() => copy(part.url, "address")}>
          <Icon name="copy" />
        </button>
      </p>
    );
  }
  return part.kind === "json" ? <ValueView value={part.value} /> : null;
}

export function Fold({
  label,
  children,
  open: first = false,
}: {
  label: ComponentChildren;
  children: ComponentChildren;
  open?: boolean;
}) {
  const [open, setOpen] = useState(first);
  return (
    <div class="folded">
      <button class="button plain small" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name={open ? "down" : "right"} />
        {label}
      </button>
      {open && children}
    </div>
  );
}

function ToolCallView({ call, answer }: { call: ToolCall; answer: string | null }) {
  const args = call.args.json;
  const entries = args && typeof args === "object" && !Array.isArray(args) ? Object.entries(args) : null;
  return (
    <div class={call.valid ? "tool-call" : "tool-call invalid"}>
      <p class="row">
        <Icon name="tool" />
        <strong class="mono">
          <Line text={call.name} />
        </strong>
        {call.id && (
          <span class="mute small mono">
            <Line text={call.id} />
          </span>
        )}
        <Grow />
        {answer ? (
          <a
            class="small"
            href={`#${answer}`}
            onClick={(event) => {
              event.preventDefault();
              const target = document.getElementById(answer);
              target?.scrollIntoView({ block: "center" });
              target?.focus();
            }}
          >
            answer below
          </a>
        ) : (
          call.valid && <Mute small>no answer in this call</Mute>
        )}
      </p>
      {!call.valid && (
        <p class="bad small">
          <Icon name="warning" /> Not a valid call{call.error ? `: ${call.error}` : ""}
        </p>
      )}
      {entries ? (
        <dl class="arguments">
          {entries.map(([name, value]) => (
            <div key={name}>
              <dt class="mono">
                <Line text={name} />
              </dt>
              <dd>
                <ValueView value={{ json: value }} />
              </dd>
            </div>
          ))}
        </dl>
      ) : (
        <ValueView value={call.args} />
      )}
    </div>
  );
}

async function messageText(message: Message): Promise<string> {
  const texts: string[] = [];
  for (const part of message.parts) {
    if (part.kind === "text" || part.kind === "refusal") texts.push(await wholeText(part.text));
    else if (part.kind === "json") texts.push(valueText(part.value));
    else if (part.kind === "link") texts.push(part.url);
  }
  for (const call of message.tool_calls) texts.push(`${call.name}(${valueText(call.args)})`);
  return texts.join("\n");
}

interface MessageProps {
  message: Message;
  markdown: boolean;
  /** An id that is unique in the page. */
  anchor: string;
  note?: ComponentChildren;
  isAnswer?: boolean;
  /** The tool call that a tool message answers. */
  answered?: ToolCall | null;
}

export function MessageView({ message, markdown, anchor, note, isAnswer, answered }: MessageProps) {
  const prefix = anchor.replace(/[^-]*$/, "");
  // The answer of a tool is most often JSON.
  const only = message.role === "tool" && message.parts.length === 1 ? message.parts[0] : null;
  const tool = only?.kind === "text" && !only.text.folded ? parsed(only.text.text) : undefined;
  const [raw, setRaw] = useState(false);
  return (
    <article class={isAnswer ? "message answer" : `message ${message.role}`} id={anchor} tabIndex={-1}>
      <header>
        <Icon name={ICONS[message.role] ?? "person"} />
        <h3>
          {message.role}
          {message.name && (
            <>
              {" · "}
              <Line text={message.name} />
            </>
          )}
        </h3>
        {answered && answered.name !== message.name && (
          <span class="mute small">
            answers <code>{answered.name}</code>
          </span>
        )}
        {message.tool_call_id && (
          <span class="mute small mono">
            <Line text={message.tool_call_id} />
          </span>
        )}
        {message.status === "error" && <span class="chip bad">error</span>}
        <Grow />
        <span class="mute small">
          {note} {message.chars > 0 && `${plural(message.chars, "char")}`}
        </span>
        {tool !== undefined && (
          <button class="button plain small" aria-pressed={raw} onClick={() => setRaw(!raw)}>
            as text
          </button>
        )}
        <IconButton
          small
          icon="copy"
          label={`Copy the ${message.role} message`}
          act={() =>
            void messageText(message).then(
              (text) => copy(text, `${message.role} message`),
              (error) => toast(asError(error).message),
            )
          }
        />
      </header>
      <div class="content">
        {tool !== undefined && !raw ? (
          <ValueView value={{ json: tool }} />
        ) : (
          message.parts.map((part, i) => (
            <PartView key={i} part={part} markdown={markdown && message.role !== "tool"} />
          ))
        )}
        {message.tool_calls.map((call, i) => (
          <ToolCallView key={i} call={call} answer={call.answer === null ? null : `${prefix}${call.answer}`} />
        ))}
        {!message.parts.length && !message.tool_calls.length && <p class="mute">(empty)</p>}
        {message.extra && (
          <Fold label="Further fields">
            <ValueView value={message.extra} />
          </Fold>
        )}
      </div>
    </article>
  );
}

function parsed(text: string): unknown {
  if (!/^\s*[{[]/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
