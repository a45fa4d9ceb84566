import type { ComponentChildren } from "preact";

const title = (text: string) => (text[0] ?? "").toUpperCase() + text.slice(1);

interface DataTableProps {
  /** For screen readers. */
  caption: string;
  /** The titles of the columns: with `#` in front, of a column of numbers. */
  heads: string[];
  class?: string;
  children: ComponentChildren;
}

export function DataTable({ caption, heads, class: style = "", children }: DataTableProps) {
  return (
    // A table that is wider than the window is scrolled by the arrow keys, too.
    <div class="panel scroll-x" role="group" aria-label={caption} tabIndex={0}>
      <table class={`table ${style}`}>
        <caption class="hidden-text">{caption}</caption>
        <thead>
          <tr>
            {heads.map((head) => (
              <th scope="col" class={head[0] === "#" ? "number nowrap" : ""} key={head}>
                {head ? title(head.replace("#", "")) : <span class="hidden-text">Actions</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
