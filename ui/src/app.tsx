import { Component, type ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { archive } from "./api/archive";
import type { ApiError } from "./api/client";
import type { JournalInfo } from "./api/types";
import { count, exact, percent, plural } from "./lib/format";
import { useApi, useInterval, useRemembered } from "./lib/hooks";
import { KEYS, useKeys } from "./lib/keys";
import { useToast } from "./lib/notes";
import { go, href, usePlace } from "./lib/router";
import { setSession } from "./lib/session";
import { CallPage } from "./pages/call-page";
import { CallsPage } from "./pages/calls";
import { ComparePage } from "./pages/compare";
import { DeliveryPage } from "./pages/delivery";
import { PromptsPage } from "./pages/prompts";
import { ThreadPage, ThreadsPage } from "./pages/threads";
import { TracePage } from "./pages/trace";
import { UsagePage } from "./pages/usage";
import { IconButton } from "./parts/controls";
import { Dialog } from "./parts/dialog";
import { Failure } from "./parts/failure";
import { Icon } from "./parts/icons";

const PAGES: Record<string, [string, () => ComponentChildren]> = {
  "": ["Calls", () => <CallsPage />],
  call: ["Call", () => <CallPage />],
  trace: ["Trace", () => <TracePage />],
  compare: ["Compare", () => <ComparePage />],
  threads: ["Conversations", () => <ThreadsPage />],
  thread: ["Conversation", () => <ThreadPage />],
  usage: ["Usage", () => <UsagePage />],
  delivery: ["Delivery", () => <DeliveryPage />],
  prompts: ["Prompts", () => <PromptsPage />],
};

const NAV = archive ? [""] : ["", "threads", "usage", "delivery", "prompts"];
const NAV_OF: Record<string, string> = { call: "", trace: "", compare: "", thread: "threads" };

/** A page that fails shows its error, and the navigation stays. */
class Boundary extends Component<{ children: ComponentChildren }, { error: unknown }> {
  override state = { error: null as unknown };
  override componentDidCatch(error: unknown) {
    console.error(error);
    this.setState({ error });
  }
  render() {
    return this.state.error ? (
      <div class="notice bad failure" role="alert">
        <Icon name="warning" /> The page cannot show these data: {String(this.state.error)}
      </div>
    ) : (
      this.props.children
    );
  }
}

function Theme() {
  const [theme, set] = useRemembered("theme", "auto");
  useEffect(() => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
  const next = { auto: "light", light: "dark", dark: "auto" }[theme] ?? "auto";
  const label = `Theme: ${theme === "auto" ? "as the system" : theme}`;
  return <IconButton icon="theme" label={label} act={() => set(next)} />;
}

function JournalBar({ journal }: { journal: JournalInfo }) {
  const name = journal.path;
  return (
    <div class="journal">
      <span class="path" title={name}>
        <bdi>{name}</bdi>
      </span>
      <span class="count">{plural(journal.records, "call")}</span>
      {!archive && (
        <a class={journal.sender ? "state ok" : "state mute"} href={href("delivery")}>
          <Icon name={journal.sender ? "send" : "pause"} />
          {journal.sender ? "sender runs" : "no sender"}
        </a>
      )}
    </div>
  );
}

function Banners({ journal, error }: { journal: JournalInfo | null; error: ApiError | null }) {
  const { counted, total } = journal?.digests ?? { counted: 0, total: 0 };
  return (
    <section aria-label="Notes">
      {error && <p class="banner bad">{error.message}</p>}
      {archive && (
        <p class="banner">
          Made from {archive.journal.path} on {exact(archive.made_ms).slice(0, -4)}: {plural(archive.count, "call")},
          content {archive.hide_content ? "hidden" : "included"}
          {archive.query && `, filters: ${archive.query}`}.
        </p>
      )}
      {counted < total && (
        <p class="banner">
          Older records are being counted: {percent(counted, total)} of {count(total)}.
        </p>
      )}
      {journal?.notes.map((note) => (
        <p class="banner" key={note}>
          {note}
        </p>
      ))}
    </section>
  );
}

export function App() {
  const { page, query } = usePlace();
  const journal = useApi<JournalInfo>("/api/journal");
  const [help, setHelp] = useState(false);
  const toast = useToast();
  const main = useRef<HTMLElement>(null);
  const [title, view] = PAGES[page] ?? [
    "Not found",
    () => (
      <div class="empty">
        <h1>This page does not exist</h1>
        <a class="button" href={href("")}>
          To the calls
        </a>
      </div>
    ),
  ];
  useInterval(5000, () => archive || journal.reload());
  const first = useRef(true);
  useEffect(() => {
    document.title = `${title} · plsync`;
    // The focus follows the page, for keyboards and screen readers.
    if (!first.current) main.current?.focus({ preventScroll: true });
    first.current = false;
    main.current?.scrollTo({ top: 0 });
  }, [page]);
  const to = (path: string) => () => !archive && go(href(path));
  useKeys({
    "?": () => setHelp(true),
    "g c": () => go(href("")),
    "g t": to("threads"),
    "g u": to("usage"),
    "g d": to("delivery"),
    "g p": to("prompts"),
  });
  const info = journal.data;
  useEffect(
    () =>
      setSession({
        journal: info,
        reload: journal.reload,
        canWrite: !archive && !!info && !info.read_only && info.writable,
      }),
    [info],
  );
  const refused = info ? info.delivery.refused + info.followups.refused : 0;
  const current = page in NAV_OF ? NAV_OF[page] : page;
  const isLocked = journal.error?.code === "unauthorized";
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        To the content
      </a>
      <header class="header">
        <a class="brand" href={href("")}>
          <Icon name="mark" /> plsync
        </a>
        <nav aria-label="Pages">
          <ul>
            {NAV.map((name) => (
              <li key={name}>
                <a href={href(name)} aria-current={name === current ? "page" : undefined}>
                  {PAGES[name]?.[0]}
                  {name === "delivery" && refused > 0 && (
                    <span class="badge" aria-label={`${refused} refused`}>
                      {count(refused)}
                    </span>
                  )}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        {info && <JournalBar journal={info} />}
        <div class={info ? "row tight" : "row tight end"}>
          <IconButton icon="question" label="Keys" keys="?" act={() => setHelp(true)} />
          <Theme />
        </div>
      </header>
      <Banners journal={info} error={isLocked ? null : journal.error} />
      <main class="main" id="main" ref={main} tabIndex={-1}>
        {isLocked ? (
          <Failure error={journal.error!} />
        ) : (
          <Boundary key={`${page}${query.get("thread") ?? ""}`}>{view()}</Boundary>
        )}
      </main>
      <div aria-live="polite" role="status">
        {toast && <p class="toast">{toast}</p>}
      </div>
      {help && (
        <Dialog title="Keys" close={() => setHelp(false)}>
          <dl class="keys">
            {KEYS.map(([keys, action]) => (
              <div key={keys}>
                <dt>{action}</dt>
                <dd>
                  {keys.split(/\s+/).map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </dd>
              </div>
            ))}
          </dl>
        </Dialog>
      )}
    </>
  );
}
