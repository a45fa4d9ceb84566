import { archive } from "../api/archive";
import { getText } from "../api/client";
import type { Call } from "../api/types";
import { json } from "../lib/format";
import { asError } from "../lib/hooks";
import { copy, toast } from "../lib/notes";
import { useSession } from "../lib/session";
import { Item, Menu } from "../parts/menu";
import { messageTextOf } from "./plain-text";

const FORMS = [
  ["answer", "Answer"],
  ["prompt", "Prompt as text"],
  ["messages", "Messages as JSON"],
  ["python", "Python, with LangChain"],
  ["curl", "curl"],
  ["pytest", "pytest, with a recording"],
  ["show", "plsync show command"],
] as const;

/** The forms that an exported file makes without a server. */
function local(call: Call, form: string): string | null {
  if (form === "answer") return call.outputs.map((output) => messageTextOf(output.message)).join("\n\n");
  if (form === "prompt")
    return call.messages.map((message) => `${message.role}: ${messageTextOf(message)}`).join("\n\n");
  return form === "messages" ? json(call.messages) : null;
}

export async function copyAs(call: Call, form: string, label: string): Promise<void> {
  try {
    await copy(archive ? (local(call, form) ?? "") : await getText(`/api/calls/${call.id}/copy?as=${form}`), label);
  } catch (error) {
    toast(asError(error).message);
  }
}

export function CopyMenu({ call }: { call: Call }) {
  const { journal } = useSession();
  const forms = FORMS.filter(([form]) =>
    archive ? local(call, form) !== null : !journal?.hide_content || form === "show",
  );
  return (
    <Menu label="Copy" icon="copy">
      {forms.map(([form, label]) => (
        <Item key={form} act={() => copyAs(call, form, label)}>
          {label}
        </Item>
      ))}
      <Item act={() => copy(call.id, "record id")}>Record id</Item>
      {!archive && <Item act={() => copy(`${location.origin}/call/${call.id}`, "link")}>Link to this page</Item>}
    </Menu>
  );
}
