import { useState } from "preact/hooks";
import type { Facets, FacetValue } from "../api/types";
import { addFilter, removeFilter } from "../lib/filters";
import { count, short } from "../lib/format";
import { place, setQuery } from "../lib/router";
import { TimeSelect } from "../parts/controls";
import { Line } from "../parts/text";
import { Mute } from "../parts/basics";

const SHOWN = 8;
function Group({
  title,
  name,
  values,
  more,
}: {
  title: string;
  name: string;
  values: FacetValue[];
  more?: number | undefined;
}) {
  const [open, setOpen] = useState(false);
  const chosen = place().query.getAll(name);
  const missing = chosen
    .filter((value) => !values.some((one) => one.value === value))
    .map((value) => ({ value, count: 0 }));
  const all = [...missing, ...values];
  if (!all.length) return null;
  const shown = open ? all : all.filter((one, i) => i < SHOWN || chosen.includes(one.value));
  return (
    <fieldset>
      <legend>{title}</legend>
      {shown.map(({ value, count: number }) => (
        <label key={value} class={number ? "facet" : "facet none"}>
          <input
            type="checkbox"
            checked={chosen.includes(value)}
            onChange={(event) => (event.currentTarget.checked ? addFilter : removeFilter)(name, value)}
          />
          <span class="value" title={value}>
            {value ? <Line text={value} /> : <Mute>(blank)</Mute>}
          </span>{" "}
          <span class="mute" title={count(number)}>
            {short(number)}
          </span>
        </label>
      ))}
      {all.length > SHOWN && (
        <button class="link small" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? "Fewer" : `${all.length - SHOWN} more`}
        </button>
      )}
      {open && more ? <p class="mute small">and {count(more)} rarer</p> : null}
    </fieldset>
  );
}

function More({ keys }: { keys: string[] }) {
  const [key, setKey] = useState("");
  const [value, setValue] = useState("");
  const slower = place().query.get("slower") ?? "";
  return (
    <fieldset>
      <legend>More</legend>
      <label class="small">
        Slower than, in ms
        <input
          class="field wide"
          type="number"
          min="0"
          value={slower}
          onChange={(event) => setQuery({ slower: event.currentTarget.value || null, before: null, page: null })}
        />
      </label>
      <form
        class="metadata"
        onSubmit={(event) => {
          event.preventDefault();
          if (key) addFilter("meta", `${key}=${value}`);
          setKey("");
          setValue("");
        }}
      >
        <label class="small">
          Metadata key
          <input
            class="field wide"
            list="metadata-keys"
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        <label class="small">
          Value
          <input class="field wide" value={value} onInput={(event) => setValue(event.currentTarget.value)} />
        </label>
        <datalist id="metadata-keys">
          {keys.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
        <button type="submit" class="button small" disabled={!key}>
          Add filter
        </button>
      </form>
    </fieldset>
  );
}

/** One value is no choice. */
const several = (values: FacetValue[] = []) => (values.length > 1 ? values : []);

export function FilterPanel({ facets }: { facets: Facets | null }) {
  return (
    <>
      <fieldset>
        <legend>Time</legend>
        <TimeSelect />
        <p class="mute small">A drag in the chart chooses a range.</p>
      </fieldset>
      <Group title="Result" name="result" values={facets?.result ?? []} />
      {/* Without an air gap no record is carried or received. */}
      <Group
        title="Delivery"
        name="delivery"
        values={facets?.delivery.filter((one) => one.count || !/^(carri|receiv)ed$/.test(one.value)) ?? []}
      />
      <Group title="Model" name="model" values={facets?.model ?? []} more={facets?.more?.model} />
      <Group title="Tag" name="tag" values={facets?.tag ?? []} more={facets?.more?.tag} />
      <Group title="Provider" name="provider" values={several(facets?.provider)} />
      <Group title="Name" name="name" values={several(facets?.name)} />
      <More keys={facets?.metadata_keys ?? []} />
      {facets && !facets.exact && <p class="mute small">The numbers are lower bounds.</p>}
    </>
  );
}
