import type { Message } from "../api/types";
import { valueText } from "../parts/json";

/** The text of a message as far as it is loaded, with its tool calls. */
export function messageTextOf(message: Message): string {
  return [
    ...message.parts.map((part) =>
      "text" in part
        ? part.text.text
        : part.kind === "json"
          ? valueText(part.value)
          : part.kind === "link"
            ? part.url
            : `[${part.mime}]`,
    ),
    ...message.tool_calls.map((call) => `${call.name}(${valueText(call.args)})`),
  ].join("\n");
}
