import { copy } from "../lib/notes";
import { useSession } from "../lib/session";
import { Icon } from "../parts/icons";

const SNIPPET = `from plsync import PromptLayerCallbackHandler

model.invoke("Hello", config={"callbacks": [PromptLayerCallbackHandler()]})`;

/** The page of an empty journal. It fills itself when the first call comes. */
export function Empty() {
  const { journal } = useSession();
  return (
    <div class="empty">
      <h1>The journal has no calls yet</h1>
      <p>Attach the handler to a LangChain model. The first call appears here at once.</p>
      <pre>{SNIPPET}</pre>
      <button class="button" onClick={() => copy(SNIPPET, "code")}>
        <Icon name="copy" /> Copy
      </button>
      <p class="small mono">{journal?.path}</p>
    </div>
  );
}
