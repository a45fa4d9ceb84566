import type { Sums, Usage } from "../api/types";
import { FILTERS, filtersOf } from "../lib/filters";
import { cost, count, duration, percent, plural, short } from "../lib/format";
import { useApi, useInterval } from "../lib/hooks";
import { href, setQuery, usePlace } from "../lib/router";
import { Chart } from "../parts/chart";
import { Failure, Loading } from "../parts/failure";
import { Choice, TimeSelect } from "../parts/controls";
import { DataTable } from "../parts/data-table";
import { Icon } from "../parts/icons";
import { Line } from "../parts/text";
import { Grow, Mute } from "../parts/basics";

const GROUPS = ["model", "provider", "tag", "name", "day", "hour", "result", "thread"];
const STEPS = { hour: 3_600_000, day: 86_400_000 };
const INTERVALS = ["", "day", "hour"];

function Totals({ total }: { total: Sums }) {
  const facts: [string, string, string?][] = [
    ["Calls", count(total.calls)],
    ["Errors", percent(total.errors, total.calls), plural(total.errors, "call")],
    [
      "Tokens in",
      short(total.input_tokens),
      total.cached_tokens ? `${short(total.cached_tokens)} cached` : undefined,
    ].filter((one) => one !== undefined) as [string, string, string?],
    ["Tokens out", short(total.output_tokens)],
    [
      "Took, median",
      duration(total.p50_us) || "–",
      total.p95_us === null ? undefined : `95 %: ${duration(total.p95_us)}`,
    ].filter((one) => one !== undefined) as [string, string, string?],
    ["First token, median", duration(total.first_token_p50_us) || "–"],
  ];
  if (total.cost !== null) facts.push(["Cost", cost(total.cost)]);
  return (
    <dl class="totals">
      {facts.map(([name, value, note]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            {value}
            {note && <Mute small>{note}</Mute>}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function GroupTable({ usage, filters }: { usage: Usage; filters: URLSearchParams }) {
  const filter = FILTERS.has(usage.by) && usage.by;
  const most = Math.max(1, ...usage.groups.map((group) => group.calls));
  const link = (name: string) => {
    const to = new URLSearchParams(filters);
    if (filter) to.append(filter, name);
    return href("", to);
  };
  return (
    <DataTable
      caption={`Sums by ${usage.by}`}
      heads={[
        usage.by,
        "#calls",
        "share",
        "#errors",
        "#tokens in",
        "#tokens out",
        "#median",
        "#95 %",
        ...(usage.prices ? ["#cost"] : []),
      ]}
    >
      {usage.groups.slice(0, 100).map((group) => (
        <tr key={group.name}>
          <td>
            {filter && !group.name.startsWith("(") ? (
              <a href={link(group.name)}>
                <Line text={group.name} />
              </a>
            ) : (
              <Line text={group.name} />
            )}
          </td>
          <td class="number">{count(group.calls)}</td>
          <td class="share">
            <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
              <rect class="calls" width={(100 * group.calls) / most} height="8" />
              <rect class="errors" width={(100 * group.errors) / most} height="8" />
            </svg>
          </td>
          <td class={group.errors ? "number bad" : "number mute"}>{count(group.errors)}</td>
          <td class="number">{count(group.input_tokens)}</td>
          <td class="number">{count(group.output_tokens)}</td>
          <td class="number">{duration(group.p50_us)}</td>
          <td class="number">{duration(group.p95_us)}</td>
          {usage.prices && <td class="number">{group.cost === null ? <Mute>no price</Mute> : cost(group.cost)}</td>}
        </tr>
      ))}
    </DataTable>
  );
}

type Interval = Usage["series"][number];
const MOST_INTERVALS = 2000;

/** The intervals, also those without a call: the charts then have even bars and honest gaps. */
function filled(series: Interval[], step: number): Interval[] {
  const [first, last] = [series[0]?.start_ms ?? 0, series.at(-1)?.start_ms ?? 0];
  const number = (last - first) / step + 1;
  // A day of summer time has another length.
  if (number > MOST_INTERVALS || series.some((one) => (one.start_ms - first) % step)) return series;
  const known = new Map(series.map((one) => [one.start_ms, one]));
  const empty = {
    calls: 0,
    errors: 0,
    cached: 0,
    without_tokens: 0,
    input_tokens: 0,
    output_tokens: 0,
    cached_tokens: 0,
    p50_us: null,
    p95_us: null,
    first_token_p50_us: null,
    cost: null,
  };
  return Array.from(
    { length: series.length ? number : 0 },
    (_, i) => known.get(first + i * step) ?? { ...empty, start_ms: first + i * step },
  );
}

export function UsagePage() {
  const { query } = usePlace();
  const filters = filtersOf(query);
  const by = GROUPS.includes(query.get("by") ?? "") ? (query.get("by") as string) : "model";
  const asked = new URLSearchParams(filters);
  asked.set("by", by);
  asked.set("step", query.get("step") ?? "auto");
  const loaded = useApi<Usage>(`/api/usage?${asked}`);
  const usage = loaded.data;
  // The numbers of older records come while the server counts them.
  useInterval(2000, () => usage && !usage.complete && loaded.reload());
  const zoom = (from: number, to: number) => setQuery({ since: String(from), until: String(to) });
  const step = STEPS[usage?.step ?? "day"];
  const series = filled(usage?.series ?? [], step);
  const times = series.map((one) => one.start_ms);
  return (
    <div class="page">
      <header>
        <h1>Usage</h1>
        <Grow />
        <TimeSelect />
        <label>
          By{" "}
          <select
            class="field"
            value={by}
            onChange={(event) =>
              setQuery({ by: event.currentTarget.value === "model" ? null : event.currentTarget.value })
            }
          >
            {GROUPS.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <Choice
          label="Interval"
          options={["Auto", "Days", "Hours"]}
          chosen={Math.max(0, INTERVALS.indexOf(query.get("step") ?? ""))}
          choose={(i) => setQuery({ step: INTERVALS[i] || null }, true)}
        />
      </header>
      {loaded.error ? (
        <Failure error={loaded.error} retry={loaded.reload} />
      ) : !usage ? (
        <Loading />
      ) : usage.total.calls === 0 ? (
        <div class="empty">
          <h2>No calls in this range</h2>
        </div>
      ) : (
        <>
          {usage.counted < usage.records && (
            <p class="notice" role="status">
              <Icon name="ring" spin /> The numbers are partial: {percent(usage.counted, usage.records)} of the records
              are counted.
            </p>
          )}
          <Totals total={usage.total} />
          {times.length > 1 && (
            <div class="charts">
              <Chart
                title="Calls"
                times={times}
                step={step}
                zoom={zoom}
                format={short}
                lines={[
                  { label: "Calls", color: "--bar", values: series.map((one) => one.calls), bars: true },
                  { label: "Errors", color: "--bar-bad", values: series.map((one) => one.errors), bars: true },
                ]}
              />
              <Chart
                title="Tokens"
                times={times}
                step={step}
                zoom={zoom}
                format={short}
                lines={[
                  { label: "In", color: "--accent", values: series.map((one) => one.input_tokens) },
                  { label: "Out", color: "--ok", values: series.map((one) => one.output_tokens) },
                ]}
              />
              <Chart
                title="Duration"
                times={times}
                step={step}
                zoom={zoom}
                format={(us) => duration(us)}
                logarithmic
                lines={[
                  { label: "Median", color: "--accent", values: series.map((one) => one.p50_us) },
                  { label: "95 %", color: "--warn", values: series.map((one) => one.p95_us), dashed: true },
                ]}
              />
              {usage.prices && usage.total.cost !== null && (
                <Chart
                  title="Cost"
                  times={times}
                  step={step}
                  zoom={zoom}
                  format={cost}
                  lines={[{ label: "Cost", color: "--accent", values: series.map((one) => one.cost), bars: true }]}
                />
              )}
            </div>
          )}
          <section>
            <h2>By {by}</h2>
            <GroupTable usage={usage} filters={filters} />
            {usage.unpriced.length > 0 && usage.prices && (
              <p class="mute small">No price for {usage.unpriced.join(", ")}: their cost is not counted.</p>
            )}
            {usage.total.without_tokens > 0 && (
              <p class="mute small">
                {plural(usage.total.without_tokens, "call")} without a number of tokens from the provider.
              </p>
            )}
          </section>
        </>
      )}
    </div>
  );
}
