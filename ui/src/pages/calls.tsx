import { useEffect, useRef, useState } from "preact/hooks";
import { archive } from "../api/archive";
import type { Facets, Histogram as HistogramData } from "../api/types";
import { CallView } from "../call/call-view";
import { PAGE, useCallList } from "../lib/call-list";
import { addFilter, clearFilters, filtersOf } from "../lib/filters";
import { count, plural } from "../lib/format";
import { useApi, useNewest, useRemembered } from "../lib/hooks";
import { useKeys } from "../lib/keys";
import { go, href, setQuery, usePlace } from "../lib/router";
import { useSession } from "../lib/session";
import { Failure } from "../parts/failure";
import { Histogram } from "../parts/histogram";
import { Icon } from "../parts/icons";
import { CallTable, columnsOf, DEFAULT_COLUMNS } from "./call-table";
import { Chips, Columns, Search } from "./calls-toolbar";
import { Empty } from "./empty";
import { FilterPanel } from "./filter-panel";
import { SelectionBar } from "./selection-bar";
import { ExportMenu } from "./export-menu";
import { Grow } from "../parts/basics";

const MOST_ROUNDS = 6;

/** A number that changes at most each two seconds, for numbers that follow the list. */
function usePulse(): [number, () => void] {
  const [pulse, setPulse] = useState(0);
  const timer = useRef(0);
  const beat = useNewest(() => {
    timer.current ||= window.setTimeout(() => {
      timer.current = 0;
      setPulse((n) => n + 1);
    }, 2000);
  });
  useEffect(() => () => clearTimeout(timer.current), []);
  return [pulse, beat];
}

export function CallsPage() {
  const { query } = usePlace();
  const session = useSession();
  const [remembered, remember] = useRemembered("columns", DEFAULT_COLUMNS);
  const columnNames = query.get("cols") ?? remembered;
  const setColumnNames = (names: string) => {
    remember(names);
    setQuery({ cols: names === DEFAULT_COLUMNS ? null : names }, true);
  };
  const columns = columnsOf(columnNames);
  const [round, setRound] = useState(0);
  const [pulse, beat] = usePulse();
  const [filtersShown, setFiltersShown] = useState(false);
  const scroller = useRef<HTMLDivElement>(null);
  const live = query.get("live") !== "off" && !archive;
  const open = query.get("open") ?? "";
  const filters = `${filtersOf(query)}`;
  const page = Math.max(1, Number(query.get("page")) || 1);

  const metadata = columns.filter(({ name }) => name.startsWith("meta:")).map(({ name }) => name.slice(5));
  const list = useCallList(
    query,
    metadata,
    live,
    () => (scroller.current?.scrollTop ?? 0) < 8 && page === 1,
    round,
    beat,
  );
  // The numbers load after the list, and never hold it up.
  const isListed = !list.loading || list.calls.length > 0;
  const facets = useApi<Facets>(isListed ? `/api/facets${filters && `?${filters}`}` : null);
  const histogram = useApi<HistogramData>(isListed ? `/api/histogram?buckets=60${filters && `&${filters}`}` : null);
  const total = useApi<{ count: number; exact: boolean }>(isListed ? `/api/count${filters && `?${filters}`}` : null);
  // A lower bound becomes exact when the server has read on.
  const rounds = useRef(0);
  useEffect(() => {
    rounds.current = 0;
  }, [filters]);
  const isPartial = [facets.data, histogram.data, total.data].some((one) => one && !one.exact);
  useEffect(() => {
    if (!isPartial || ++rounds.current > MOST_ROUNDS) return;
    const timer = setTimeout(beat, 500 * rounds.current);
    return () => clearTimeout(timer);
  }, [isPartial, pulse, facets.data]);
  useEffect(() => {
    if (!pulse) return;
    facets.reload();
    histogram.reload();
    total.reload();
    session.reload();
  }, [pulse]);

  const selected = (query.get("sel") ?? "").split(",").filter(Boolean);
  const setSelected = (ids: string[]) => setQuery({ sel: ids.length ? ids.join(",") : null }, true);
  const lastSelected = useRef("");
  const select = (id: string, range: boolean) => {
    const ids = list.calls.map((call) => call.id);
    const [from, to] = [ids.indexOf(lastSelected.current), ids.indexOf(id)];
    const span = range && from >= 0 ? ids.slice(Math.min(from, to), Math.max(from, to) + 1) : [];
    lastSelected.current = id;
    if (span.length) setSelected([...new Set([...selected, ...span])]);
    else setSelected(selected.includes(id) ? selected.filter((one) => one !== id) : [...selected, id]);
  };

  const show = useNewest((id: string | null) => setQuery({ open: id, ...(open ? {} : { tab: null }) }, !!open && !!id));
  const rowLinks = () => [...(scroller.current?.querySelectorAll<HTMLAnchorElement>("tbody a") ?? [])];
  const focusedId = () => document.activeElement?.closest("tr")?.dataset.id ?? "";
  const move = (step: number) => {
    const ids = list.calls.map((call) => call.id);
    const at = ids.indexOf(open || focusedId());
    const next = ids[at < 0 ? 0 : at + step];
    if (!next && step > 0 && list.next) {
      const { next: before } = list;
      turned.current = !!open;
      setQuery({ before, page: String(page + 1) });
    }
    if (!next) return;
    if (open) show(next);
    const link = rowLinks()[ids.indexOf(next)];
    link?.focus({ preventScroll: true });
    link?.closest("tr")?.scrollIntoView({ block: "nearest" });
  };
  // A step beyond the end of a page opens the first call of the next page.
  const turned = useRef(false);
  useEffect(() => {
    const first = list.calls[0]?.id;
    if (!turned.current || list.loading || !first) return;
    turned.current = false;
    show(first);
  }, [list.calls, list.loading]);
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    x: () => {
      const id = open || focusedId();
      if (id) select(id, false);
    },
    c: () => selected.length === 2 && go(href("compare", { a: selected[0] ?? "", b: selected[1] ?? "" })),
    l: !archive && (() => setQuery({ live: live ? "off" : null }, true)),
    f: () => setFiltersShown(!filtersShown),
    Escape: open ? () => show(null) : selected.length > 0 && (() => setSelected([])),
  });

  if (session.journal?.records === 0 && !filters && !list.calls.length && !list.loading) return <Empty />;
  const first = (page - 1) * PAGE + 1;
  const of = total.data ? `${total.data.exact ? "" : "at least "}${count(total.data.count)}` : "…";
  return (
    <div class={open ? "calls-page with-call" : "calls-page"}>
      <h1 class="hidden-text">Calls</h1>
      <aside class={filtersShown ? "filters shown" : "filters"} aria-label="Filters">
        <button class="button close" onClick={() => setFiltersShown(false)}>
          <Icon name="left" /> Show the calls
        </button>
        <FilterPanel facets={facets.data} />
      </aside>
      <section class="list" aria-label="Calls" aria-busy={list.loading}>
        <div class="toolbar">
          <button
            class="button filters-button"
            aria-expanded={filtersShown}
            onClick={() => setFiltersShown(!filtersShown)}
          >
            <Icon name="filter" /> Filters
          </button>
          <Search q={query.get("q") ?? ""} />
          {!archive && (
            <button
              class="button plain"
              aria-pressed={live}
              onClick={() => setQuery({ live: live ? "off" : null }, true)}
              title="Follow the journal (l)"
            >
              <Icon name="live" /> Live
            </button>
          )}
          <Columns names={columnNames} set={setColumnNames} keys={facets.data?.metadata_keys ?? []} />
          {!archive && <ExportMenu filters={filters} />}
        </div>
        <Chips query={query} />
        <div class="scroller" ref={scroller}>
          {histogram.data && <Histogram data={histogram.data} />}
          {list.fresh.length > 0 && (
            <button
              class="button primary small fresh"
              onClick={() => {
                list.showFresh();
                scroller.current?.scrollTo({ top: 0 });
              }}
            >
              <Icon name="up" /> {count(list.fresh.length)} new
            </button>
          )}
          {list.error ? (
            <Failure error={list.error} retry={() => setRound(round + 1)} />
          ) : list.calls.length > 0 ? (
            <CallTable
              calls={list.calls}
              columns={columns}
              open={open}
              selected={selected}
              select={select}
              selectAll={(on) =>
                setSelected(on ? [...new Set([...selected, ...list.calls.map((call) => call.id)])] : [])
              }
              link={(id) => {
                const to = new URLSearchParams(query);
                to.set("open", id);
                return href("", to);
              }}
              show={show}
            />
          ) : (
            !list.loading && (
              <div class="empty">
                <h2>No call passes these filters</h2>
                <button class="button" onClick={clearFilters}>
                  Remove the filters
                </button>
              </div>
            )
          )}
        </div>
        {selected.length > 0 && (
          <SelectionBar ids={selected} clear={() => setSelected([])} done={() => setRound(round + 1)} />
        )}
        <div class="pager" aria-live="polite">
          {list.progress ? (
            <span class="row">
              <Icon name="ring" spin /> searched {count(list.progress.searched)}
              {list.progress.total !== null && ` of ${count(list.progress.total)}`} records,{" "}
              {plural(list.calls.length, "hit")}
              <button class="link" onClick={list.stop}>
                Stop
              </button>
            </span>
          ) : list.calls.length > 0 ? (
            <span>
              {count(first)}–{count(first + list.calls.length - 1)} of {of}
            </span>
          ) : (
            <span>{list.loading ? "Loading…" : "No calls"}</span>
          )}
          <Grow />
          {page > 1 && (
            <button class="button small" onClick={() => setQuery({ before: null, page: null })}>
              First page
            </button>
          )}
          {list.next && (
            <button
              class="button small"
              onClick={() => {
                setQuery({ before: list.next, page: String(page + 1), open: null });
                scroller.current?.scrollTo({ top: 0 });
              }}
            >
              {query.get("sort") ? "Further calls" : query.get("order") === "asc" ? "Newer calls" : "Older calls"}{" "}
              <Icon name="right" />
            </button>
          )}
        </div>
      </section>
      {open && (
        <section class="detail" aria-label="Call">
          <CallView
            id={open}
            close={() => show(null)}
            previous={() => move(-1)}
            next={() => move(1)}
            changed={(call) => list.update(call)}
            filter={addFilter}
          />
        </section>
      )}
    </div>
  );
}
