import { CallView } from "../call/call-view";
import { go, href, usePlace } from "../lib/router";

/** One call in the full width. */
export function CallPage() {
  const { id } = usePlace();
  const back = () => (history.length > 1 ? history.back() : go(href("")));
  return (
    <div class="page call-page">
      <h1 class="hidden-text">Call</h1>
      <CallView id={id} close={back} />
    </div>
  );
}
