import { useState } from "preact/hooks";
import type { Stream } from "../api/types";
import { duration, plural } from "../lib/format";

const WIDTH = 1000;

/** The arrival of each piece of a streamed answer. */
export function StreamStrip({ stream, took }: { stream: Stream; took: number | null }) {
  const [at, setAt] = useState<number | null>(null);
  const end = Math.max(took ?? 0, stream.times_us.at(-1) ?? 0, 1);
  const x = (us: number) => (us / end) * WIDTH;
  // One path for all pieces, however many there are.
  const path = stream.times_us.map((us) => `M${x(us).toFixed(1)} 5V23`).join("");
  const { gap } = stream;
  const gapText = gap ? `, longest gap ${duration(gap.to_us - gap.from_us)}` : "";
  const hovered =
    at === null
      ? null
      : stream.times_us.reduce(
          (best, us) => (Math.abs(us - at) < Math.abs(best - at) ? us : best),
          stream.times_us[0] ?? 0,
        );
  const label = `${plural(stream.pieces, "piece")} over ${duration(end)}${gapText}`;
  return (
    <figure class="strip">
      <svg
        role="img"
        aria-label={label}
        viewBox={`0 0 ${WIDTH} 28`}
        preserveAspectRatio="none"
        onPointerMove={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          setAt(((event.clientX - box.left) / box.width) * end);
        }}
        onPointerLeave={() => setAt(null)}
      >
        {gap && (
          <rect class="gap" x={x(gap.from_us)} width={Math.max(1, x(gap.to_us) - x(gap.from_us))} y="0" height="28" />
        )}
        <path class="pieces" d={path} />
        {hovered !== null && <path class="hovered" d={`M${x(hovered).toFixed(1)} 0V28`} />}
      </svg>
      <figcaption>
        <span>0</span>
        <span class="grow middle">{hovered === null ? label : `piece at ${duration(hovered)}`}</span>
        <span>{duration(end)}</span>
      </figcaption>
    </figure>
  );
}
