import { useRef, useState } from "preact/hooks";
import type { Histogram as Data } from "../api/types";
import { count, exact, plural, time } from "../lib/format";
import { setQuery } from "../lib/router";
import { DataTable } from "./data-table";

const HEIGHT = 40;

/** Calls over time, with errors. A drag chooses a range of time. */
export function Histogram({ data }: { data: Data }) {
  const [drag, setDrag] = useState<[number, number] | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const [table, setTable] = useState(false);
  const plot = useRef<SVGSVGElement>(null);
  const number = data.buckets.length;
  const most = Math.max(1, ...data.buckets.map((bucket) => bucket.calls));
  const errors = data.buckets.reduce((sum, bucket) => sum + bucket.errors, 0);
  const calls = data.buckets.reduce((sum, bucket) => sum + bucket.calls, 0);
  if (!calls) return null;
  const height = (n: number) => (n ? Math.max(2, (n / most) * (HEIGHT - 2)) : 0);
  const bucketAt = (event: PointerEvent) => {
    const box = plot.current?.getBoundingClientRect();
    return box ? Math.min(number - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * number))) : 0;
  };
  const hovered = at === null ? null : data.buckets[at];
  const down = (event: PointerEvent) => {
    if (event.button) return;
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    setDrag([bucketAt(event), bucketAt(event)]);
  };
  const up = (event: PointerEvent) => {
    if (!drag) return;
    const to = bucketAt(event);
    const [first, last] = [Math.min(drag[0], to), Math.max(drag[0], to)];
    setDrag(null);
    const start = data.buckets[first];
    if (start)
      setQuery({
        since: String(start.start_ms),
        until: String(start.start_ms + (last - first + 1) * data.bucket_ms),
        before: null,
      });
  };
  const label = `${plural(calls, "call")} over time, ${plural(errors, "error")}`;
  return (
    <figure class="histogram">
      <svg
        ref={plot}
        role="img"
        aria-label={label}
        viewBox={`0 0 ${number * 10} ${HEIGHT}`}
        preserveAspectRatio="none"
        onPointerDown={down}
        onPointerMove={(event) => {
          const bucket = bucketAt(event);
          setAt(bucket);
          if (drag) setDrag([drag[0], bucket]);
        }}
        onPointerUp={up}
        onPointerCancel={() => setDrag(null)}
        onPointerLeave={() => setAt(null)}
      >
        {drag && (
          <rect
            class="range"
            x={Math.min(...drag) * 10}
            width={(Math.abs(drag[1] - drag[0]) + 1) * 10}
            y="0"
            height={HEIGHT}
          />
        )}
        {at !== null && !drag && <rect class="range" x={at * 10} width="10" y="0" height={HEIGHT} />}
        {data.buckets.map((bucket, i) =>
          bucket.calls ? (
            <g key={bucket.start_ms}>
              <rect
                class="calls"
                x={i * 10 + 1}
                width="8"
                y={HEIGHT - height(bucket.calls)}
                height={height(bucket.calls)}
              />
              {bucket.errors > 0 && (
                <rect
                  class="errors"
                  x={i * 10 + 1}
                  width="8"
                  y={HEIGHT - height(bucket.errors)}
                  height={height(bucket.errors)}
                />
              )}
            </g>
          ) : null,
        )}
      </svg>
      <figcaption>
        <span>{time(data.from_ms)}</span>
        <span class="grow middle">
          {hovered
            ? `${exact(hovered.start_ms).slice(0, -4)} · ${plural(hovered.calls, "call")}${hovered.errors ? `, ${plural(hovered.errors, "error")}` : ""}`
            : !data.exact && "at least these calls"}
        </span>
        <button class="link" aria-expanded={table} onClick={() => setTable(!table)}>
          as table
        </button>
        <span>{time(data.to_ms)}</span>
      </figcaption>
      {table && (
        <div class="as-table">
          <DataTable caption="Calls over time" heads={["from", "#calls", "#errors"]}>
            {data.buckets
              .filter((bucket) => bucket.calls)
              .map((bucket) => (
                <tr key={bucket.start_ms}>
                  <td>{exact(bucket.start_ms)}</td>
                  <td class="number">{count(bucket.calls)}</td>
                  <td class="number">{count(bucket.errors)}</td>
                </tr>
              ))}
          </DataTable>
        </div>
      )}
    </figure>
  );
}
