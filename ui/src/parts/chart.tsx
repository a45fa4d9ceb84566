import { useEffect, useRef, useState } from "preact/hooks";
import type UPlot from "uplot";
import type { AlignedData, Series } from "uplot";
import { exact } from "../lib/format";
import { useRemembered } from "../lib/hooks";
import { DataTable } from "./data-table";

export interface Line {
  label: string;
  color: string;
  values: (number | null)[];
  bars?: boolean;
  dashed?: boolean;
}

// The file of uPlot stands before the bundle.
declare const uPlot: typeof UPlot;

interface ChartProps {
  title: string;
  /** Starts of the intervals, in ms. */
  times: number[];
  lines: Line[];
  format: (value: number) => string;
  logarithmic?: boolean;
  /** The length of an interval in ms. */
  step: number;
  zoom: (since: number, until: number) => void;
}

/** The colour that a custom property has at present: the theme decides. */
function resolved(name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function translucent(color: string): string {
  return color.replace(/^rgb\((.*)\)$/, "rgba($1, 0.12)");
}

const FONT = '11.5px -apple-system, "Segoe UI", "Noto Sans", "Liberation Sans", helvetica, arial, sans-serif';

/** The time of day, or the day where a day begins. */
function tick(ms: number, seconds: number): string {
  const [date, time] = exact(ms).split(" ") as [string, string];
  return seconds >= 86_400 || time.startsWith("00:00") ? date.slice(5) : time.slice(0, 5);
}

export function Chart({ title, times, lines, format, logarithmic, step, zoom }: ChartProps) {
  const root = useRef<HTMLDivElement>(null);
  const [table, setTable] = useState(false);
  const [theme] = useRemembered("theme", "auto");
  const [dark, setDark] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const listener = () => setDark(query.matches);
    query.addEventListener("change", listener);
    return () => query.removeEventListener("change", listener);
  }, []);
  const data = JSON.stringify([times, lines]);
  useEffect(() => {
    const element = root.current;
    if (!element || table) return;
    const axis = resolved("--mute");
    const edge = lines[0]?.bars ? step / 2000 : 0;
    const grid = { stroke: resolved("--line"), width: 1 };
    const plot = new uPlot(
      {
        width: Math.max(240, element.clientWidth),
        height: 190,
        padding: [12, 20, 0, 0],
        cursor: { sync: { key: "usage" }, drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
        legend: { live: true },
        scales: {
          x: { time: true, range: (_plot, low, high) => [low - edge, high + edge] },
          y: logarithmic ? { distr: 3 } : { range: (_plot, _low, high) => [0, high * 1.05 || 1] },
        },
        axes: [
          {
            stroke: axis,
            font: FONT,
            size: 28,
            grid: { show: false },
            ticks: { show: false },
            values: (_plot, splits, _axis, _space, seconds) => splits.map((at) => tick(at * 1000, seconds)),
          },
          {
            stroke: axis,
            font: FONT,
            grid,
            ticks: { show: false },
            size: 66,
            values: (_plot, splits) => splits.map((value) => (value === null ? "" : format(value))),
          },
        ],
        series: [
          { label: "Time", value: (_plot, value) => (value === null ? "" : new Date(value * 1000).toLocaleString()) },
          ...lines.map((line): Series => {
            const color = resolved(line.color);
            return {
              label: line.label,
              stroke: color,
              width: line.bars ? 0 : 1.75,
              value: (_plot, value) => (value == null ? "" : format(value)),
              points: { show: !line.bars && times.length < 40, size: 5, fill: color },
              ...(line.dashed && { dash: [5, 4] }),
              ...(line.bars
                ? { fill: color, paths: uPlot.paths.bars?.({ size: [0.75, 36] }) ?? null }
                : !logarithmic && { fill: translucent(color) }),
            } as Series;
          }),
        ],
        hooks: {
          setSelect: [
            (self) => {
              if (self.select.width < 4) return;
              zoom(
                Math.floor(self.posToVal(self.select.left, "x") * 1000),
                Math.ceil(self.posToVal(self.select.left + self.select.width, "x") * 1000) + 1,
              );
            },
          ],
        },
      },
      [times.map((ms) => ms / 1000 + edge), ...lines.map((line) => line.values)] as AlignedData,
      element,
    );
    const observer = new ResizeObserver(() => plot.setSize({ width: Math.max(240, element.clientWidth), height: 190 }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [data, table, theme, dark, logarithmic]);
  return (
    <figure class="chart">
      <figcaption>
        <h2>{title}</h2>
        <button class="link" aria-expanded={table} aria-label={`${title} as table`} onClick={() => setTable(!table)}>
          {table ? "as chart" : "as table"}
        </button>
      </figcaption>
      {table ? (
        <div class="as-table">
          <DataTable caption={title} heads={["from", ...lines.map((line) => `#${line.label}`)]}>
            {times.map((ms, i) => (
              <tr key={ms}>
                <td>{new Date(ms).toLocaleString()}</td>
                {lines.map((line) => (
                  <td class="number" key={line.label}>
                    {line.values[i] == null ? "" : format(line.values[i] as number)}
                  </td>
                ))}
              </tr>
            ))}
          </DataTable>
        </div>
      ) : (
        <div ref={root} role="img" aria-label={`${title}, ${lines.map((line) => line.label).join(" and ")}`} />
      )}
    </figure>
  );
}
