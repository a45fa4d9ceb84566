import { place, setQuery } from "../lib/router";
import { Icon, type IconName } from "./icons";

interface IconButtonProps {
  icon: IconName;
  /** For screen readers, and as the tip. */
  label: string;
  /** The key that does the same. */
  keys?: string;
  act: () => void;
  small?: boolean;
  expanded?: boolean;
}

export function IconButton({ icon, label, keys, act, small, expanded }: IconButtonProps) {
  return (
    <button
      type="button"
      class={`button plain icon-only ${small ? "small" : ""}`}
      aria-label={label}
      title={keys ? `${label} (${keys})` : label}
      aria-expanded={expanded}
      onClick={act}
    >
      <Icon name={icon} />
    </button>
  );
}

/** A choice of one among a few. */
export function Choice({
  label,
  options,
  chosen,
  choose,
}: {
  label: string;
  options: string[];
  chosen: number;
  choose: (index: number) => void;
}) {
  return (
    <div class="segmented" role="group" aria-label={label}>
      {options.map((option, i) => (
        <button type="button" key={option} aria-pressed={i === chosen} onClick={() => choose(i)}>
          {option}
        </button>
      ))}
    </div>
  );
}

const AGES: [string, string][] = [
  ["", "All time"],
  ["1h", "Last hour"],
  ["24h", "Last 24 hours"],
  ["7d", "Last 7 days"],
  ["30d", "Last 30 days"],
];

/** The range of time: an age, or the range that a drag in a chart chose. */
export function TimeSelect() {
  const { query } = place();
  const since = query.get("since") ?? "";
  const isAge = /^\d+[a-z]+$/.test(since);
  const own = !!query.get("until") || (!!since && !isAge);
  return (
    <select
      class="field wide"
      aria-label="Time"
      value={own ? "own" : since}
      onChange={(event) =>
        event.currentTarget.value !== "own" &&
        setQuery({ since: event.currentTarget.value || null, until: null, before: null, page: null })
      }
    >
      {AGES.map(([value, label]) => (
        <option key={value} value={value}>
          {label}
        </option>
      ))}
      {isAge && !AGES.some(([value]) => value === since) && <option value={since}>Last {since}</option>}
      {own && <option value="own">Chosen range</option>}
    </select>
  );
}
