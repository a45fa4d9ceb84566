import { useState } from "preact/hooks";
import { archive } from "../api/archive";
import { post } from "../api/client";
import { count, plural } from "../lib/format";
import { asError } from "../lib/hooks";
import { useKeys } from "../lib/keys";
import { toast } from "../lib/notes";
import { href } from "../lib/router";
import { useSession } from "../lib/session";
import { Dialog } from "../parts/dialog";
import { Icon } from "../parts/icons";
import { ScoreForm } from "../call/score-form";
import { ExportMenu } from "./export-menu";

/** The actions on the selected calls. */
export function SelectionBar({ ids, clear, done }: { ids: string[]; clear: () => void; done: () => void }) {
  const { canWrite, reload } = useSession();
  const [scoring, setScoring] = useState(false);
  const retry = async () => {
    try {
      const { records } = await post<{ records: number }>("/api/retry", { ids });
      toast(`${plural(records, "call")} waiting again. The next plsync run sends them.`);
      done();
      reload();
    } catch (error) {
      toast(asError(error).message);
    }
  };
  const score = async (value: number, name: string) => {
    const { queued, failed } = await post<{ queued: number; failed: { message: string }[] }>("/api/score", {
      ids,
      score: value,
      ...(name && { name }),
    });
    toast(
      `${plural(queued, "score")} queued${failed.length ? `, ${count(failed.length)} failed: ${failed[0]?.message}` : ""}.`,
    );
    setScoring(false);
  };
  useKeys({ s: canWrite && (() => setScoring(true)), r: canWrite && retry });
  return (
    <div class="selection" role="group" aria-label="Selected calls">
      <strong>{count(ids.length)} selected</strong>
      {ids.length === 2 && (
        <a class="button small" href={href("compare", { a: ids[0] ?? "", b: ids[1] ?? "" })}>
          <Icon name="compare" /> Compare
        </a>
      )}
      {canWrite && (
        <>
          <button class="button small" onClick={() => setScoring(true)}>
            Score
          </button>
          <button class="button small" onClick={retry}>
            <Icon name="retry" /> Retry
          </button>
        </>
      )}
      {!archive && <ExportMenu ids={ids} />}
      <button class="button plain small" onClick={clear}>
        Clear
      </button>
      {scoring && (
        <Dialog title={`Score ${plural(ids.length, "call")}`} close={() => setScoring(false)}>
          <ScoreForm submit={score} />
        </Dialog>
      )}
    </div>
  );
}
