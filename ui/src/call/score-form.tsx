import { useState } from "preact/hooks";
import { asError } from "../lib/hooks";
import { toast } from "../lib/notes";

/** A score from 0 to 100, with a name. */
export function ScoreForm({ submit }: { submit: (score: number, name: string) => Promise<void> }) {
  const [score, setScore] = useState("");
  const [name, setName] = useState("");
  const [busy, setBusy] = useState(false);
  const queue = async (value: number) => {
    setBusy(true);
    try {
      await submit(value, name.trim());
      setScore("");
    } catch (error) {
      toast(asError(error).message);
    }
    setBusy(false);
  };
  return (
    <form
      class="row score"
      onSubmit={(event) => {
        event.preventDefault();
        if (score !== "") void queue(Number(score));
      }}
    >
      <label>
        Score{" "}
        <input
          class="field"
          id="score"
          type="number"
          min="0"
          max="100"
          step="1"
          required
          value={score}
          onInput={(event) => setScore(event.currentTarget.value)}
        />
      </label>
      <label>
        Name{" "}
        <input
          class="field"
          placeholder="default"
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="button primary" disabled={busy || score === ""}>
        Queue score
      </button>
      <button type="button" class="button" disabled={busy} onClick={() => queue(0)}>
        0
      </button>
      <button type="button" class="button" disabled={busy} onClick={() => queue(100)}>
        100
      </button>
    </form>
  );
}
