import type { Delivery, Fact, Result } from "../api/types";
import { Icon, type IconName } from "./icons";
import { Line } from "./text";

// A result and a delivery have a word, a shape and a colour: the colour alone carries nothing.
const RESULTS: Record<Result, [IconName, string]> = {
  ok: ["check", "ok"],
  error: ["cross", "bad"],
  cancelled: ["slash", "warn"],
  "cut short": ["cut", "warn"],
  interrupted: ["pause", "warn"],
  running: ["ring", "mute"],
};

const DELIVERIES: Record<Delivery, [IconName, string]> = {
  waiting: ["clock", "mute"],
  sending: ["send", "mute"],
  unclear: ["question", "warn"],
  sent: ["check", "mute"],
  refused: ["cross", "bad"],
  held: ["pause", "warn"],
  dropped: ["slash", "bad"],
  carried: ["download", "mute"],
  received: ["check", "mute"],
};

export function ResultState({
  fact,
  word = false,
}: {
  fact: Pick<Fact, "result" | "status_code" | "error">;
  word?: boolean;
}) {
  const [icon, style] = RESULTS[fact.result] ?? ["question", "mute"];
  const cause = fact.result === "error" ? (fact.status_code ?? (word ? fact.error : null)) : null;
  return (
    <span class={`state ${style}`}>
      <Icon name={icon} spin={fact.result === "running"} />
      {fact.result}
      {cause !== null && (
        <>
          {" "}
          <Line text={String(cause)} />
        </>
      )}
    </span>
  );
}

export function DeliveryState({
  delivery,
  request_id,
  muted = false,
}: Pick<Fact, "delivery" | "request_id"> & { muted?: boolean }) {
  const [icon, style] = DELIVERIES[delivery] ?? ["question", "mute"];
  return (
    <span class={`state ${muted ? "mute" : style}`}>
      <Icon name={icon} />
      {delivery}
      {request_id !== null && ` #${request_id}`}
    </span>
  );
}

export const deliveryStyle = (word: Delivery) => DELIVERIES[word]?.[1] ?? "mute";

const MARKS: Record<string, string> = {
  cached: "A cache of LangChain answered. No model ran.",
  lossy: "Some values were stored in an approximate form.",
  redacted: "plsync redacted or removed content before it wrote the record.",
  pruned: "The quota of the journal removed the content.",
  forgotten: "plsync forget removed the content.",
};

export function Marks({ marks }: { marks: string[] }) {
  return (
    <>
      {marks.map((mark) => (
        <span class="chip" key={mark} title={MARKS[mark]}>
          {mark}
        </span>
      ))}
    </>
  );
}
