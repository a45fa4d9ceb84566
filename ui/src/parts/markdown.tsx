import type { ComponentChildren } from "preact";
import { copy } from "../lib/notes";
import { Icon } from "./icons";
import { visible } from "./verbatim";

// Markdown as models write it, as elements. HTML stays text, links and images are text with a copy button, and each
// line is read once. Everything passes as text nodes: no string becomes markup.

const MOST_DEPTH = 8;
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(\s+|$)(.*)$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const INLINE =
  /(`+)([^`]|[^`][^]{0,2000}?[^`])\1(?!`)|!?\[([^\]\n]{0,500})\]\(([^()\s]{0,2000}(?:\([^()\s]{0,200}\))?[^()\s]{0,200})(?:\s+"[^"\n]{0,200}")?\)|\*\*(?=\S)((?:[^*\n]|\*(?!\*)){1,2000}?)\*\*|\*(?=\S)([^*\n]{1,2000}?\S|\S)\*|(?<!\w)_(?=\S)([^_\n]{1,2000}?\S|\S)_(?!\w)|~~([^~\n]{1,2000})~~|\\([\\`*_{}[\]()#+\-.!|~>])/g;

function inline(text: string, depth = 0): ComponentChildren {
  if (depth > MOST_DEPTH || text.length > 100_000) return visible(text);
  const parts: ComponentChildren[] = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    const [whole, , code, label, url, strong, em, em2, struck, escaped] = found;
    parts.push(visible(text.slice(from, found.index)));
    from = found.index + whole.length;
    if (code !== undefined) parts.push(<code>{visible(code)}</code>);
    else if (url !== undefined) parts.push(<Target label={inline(label ?? "", depth + 1)} url={url} />);
    else if (strong !== undefined) parts.push(<strong>{inline(strong, depth + 1)}</strong>);
    else if (struck !== undefined) parts.push(<s>{inline(struck, depth + 1)}</s>);
    else if (escaped !== undefined) parts.push(escaped);
    else parts.push(<em>{inline(em ?? em2 ?? "", depth + 1)}</em>);
  }
  return [...parts, visible(text.slice(from))];
}

function Target({ label, url }: { label: ComponentChildren; url: string }) {
  return (
    <>
      {label} <span class="url">({visible(url)})</span>
      <button class="link" aria-label="Copy the address" title="Copy the address" onClick={() => copy(url, "address")}>
        <Icon name="copy" />
      </button>
    </>
  );
}

const cells = (line: string) =>
  line
    .trim()
    .replace(/^\||\|$/g, "")
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());

interface Item {
  checked: boolean | null;
  lines: string[];
}

function list(lines: string[], from: number, depth: number): [ComponentChildren, number] {
  const first = ITEM.exec(lines[from] ?? "") as RegExpExecArray;
  const indent = first[1]?.length ?? 0;
  const ordered = /\d/.test(first[2] ?? "");
  const items: Item[] = [];
  let at = from;
  for (; at < lines.length; at++) {
    const line = lines[at] ?? "";
    const found = ITEM.exec(line);
    const last = items.at(-1);
    if (found && (found[1]?.length ?? 0) <= indent + 1 && /\d/.test(found[2] ?? "") === ordered) {
      const task = /^\[([ xX])\]\s+(.*)$/.exec(found[4] ?? "");
      items.push({ checked: task ? task[1] !== " " : null, lines: [task ? (task[2] ?? "") : (found[4] ?? "")] });
    } else if (last && !line.trim() && /^\s|^[-*+\d]/.test(lines[at + 1] ?? "")) last.lines.push("");
    else if (last && /^ {2,}|^\t/.test(line)) last.lines.push(line.replace(/^(?:\t| {1,4})/, ""));
    else if (last && line.trim() && last.lines.at(-1) && !found && !FENCE.test(line) && !HEADING.test(line))
      last.lines.push(line);
    else break;
  }
  const inner = items.map((item, i) => (
    <li key={i}>
      {item.checked !== null && (
        <input type="checkbox" checked={item.checked} disabled aria-label={item.checked ? "done" : "open"} />
      )}
      {item.lines.length === 1 ? inline(item.lines[0] ?? "") : blocks(item.lines, depth + 1)}
    </li>
  ));
  const start = ordered ? parseInt(first[2] ?? "1", 10) : 1;
  return [ordered ? <ol start={start}>{inner}</ol> : <ul>{inner}</ul>, at];
}

function table(lines: string[], from: number): [ComponentChildren, number] {
  let at = from + 2;
  while (at < lines.length && lines[at]?.includes("|")) at++;
  return [
    <div class="scroll-x" role="group" aria-label="Table" tabIndex={0}>
      <table>
        <thead>
          <tr>
            {cells(lines[from] ?? "").map((cell) => (
              <th scope="col">{inline(cell)}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {lines.slice(from + 2, at).map((line) => (
            <tr>
              {cells(line).map((cell) => (
                <td>{inline(cell)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>,
    at,
  ];
}

function blocks(lines: string[], depth: number): ComponentChildren {
  if (depth > MOST_DEPTH) return <p>{visible(lines.join("\n"))}</p>;
  const found: ComponentChildren[] = [];
  let paragraph: string[] = [];
  const close = () => {
    if (paragraph.length) found.push(<p dir="auto">{inline(paragraph.join("\n"))}</p>);
    paragraph = [];
  };
  for (let at = 0; at < lines.length;) {
    const line = lines[at] ?? "";
    const fence = FENCE.exec(line);
    const heading = HEADING.exec(line);
    if (fence) {
      close();
      const sign = fence[1] ?? "";
      let end = at + 1;
      while (end < lines.length && !(lines[end]?.trim().startsWith(sign) && !/[^`~\s]/.test(lines[end] ?? ""))) end++;
      found.push(
        <pre dir="auto" tabIndex={0}>
          {visible(lines.slice(at + 1, end).join("\n"))}
        </pre>,
      );
      at = end + 1;
    } else if (heading) {
      close();
      // A heading of a text does not belong to the outline of the page.
      found.push(
        <p class={`heading h${heading[1]?.length}`} dir="auto">
          {inline(heading[2] ?? "")}
        </p>,
      );
      at++;
    } else if (RULE.test(line)) {
      close();
      found.push(<hr />);
      at++;
    } else if (QUOTE.test(line)) {
      close();
      const quoted: string[] = [];
      for (let inner; (inner = QUOTE.exec(lines[at] ?? "")); at++) quoted.push(inner[1] ?? "");
      found.push(<blockquote>{blocks(quoted, depth + 1)}</blockquote>);
    } else if (ITEM.test(line)) {
      close();
      const [made, next] = list(lines, at, depth);
      found.push(made);
      at = Math.max(next, at + 1);
    } else if (line.includes("|") && DIVIDER.test(lines[at + 1] ?? "x") && (lines[at + 1] ?? "").includes("-")) {
      close();
      const [made, next] = table(lines, at);
      found.push(made);
      at = next;
    } else {
      if (line.trim()) paragraph.push(line);
      else close();
      at++;
    }
  }
  close();
  return found;
}

export function Markdown({ text }: { text: string }) {
  return <div class="markdown">{blocks(text.replaceAll("\r\n", "\n").split("\n"), 0)}</div>;
}
