// Icons as inline SVG: no font, no request.

const PATHS = {
  mark: "M3 8h2.5l2-4.5 2.5 9 2-4.5H14",
  search: "M7 12a5 5 0 1 0 0-10 5 5 0 0 0 0 10zM14 14l-3.5-3.5",
  check: "M3 8.5l3.2 3L13 4.5",
  cross: "M4 4l8 8M12 4l-8 8",
  slash: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM4 12l8-8",
  pause: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM6.5 6v4M9.5 6v4",
  cut: "M2 8h5M9.5 8h.1M12 8h.1M14.4 8h.1",
  ring: "M8 2a6 6 0 1 1-6 6",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 5v3l2 1.5",
  question: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM6.3 6.3A1.8 1.8 0 1 1 8 8.6M8 11.2v.1",
  warning: "M8 2.5l6 11H2zM8 7v3M8 11.8v.1",
  up: "M4 10l4-4 4 4",
  down: "M4 6l4 4 4-4",
  right: "M6 4l4 4-4 4",
  left: "M10 4L6 8l4 4",
  copy: "M6 6h7.5v7.5H6zM10 6V2.5H2.5V10H6",
  download: "M8 2v8M4.5 7L8 10.5 11.5 7M3 13.5h10",
  filter: "M2.5 4h11M4.5 8h7M6.5 12h3",
  columns: "M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10",
  theme: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 2v12M8 5h4.5M8 8h6M8 11h4.5",
  live: "M8 9.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3zM4.6 11.4a4.8 4.8 0 0 1 0-6.8M11.4 4.6a4.8 4.8 0 0 1 0 6.8",
  tool: "M9.8 6.2l4-1a4 4 0 0 1-5.3 3.9L4.2 13.4a1.6 1.6 0 0 1-2.2-2.2l4.4-4.3a4 4 0 0 1 4-5.3l-1 3.9z",
  person: "M8 7.5a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6zM2.8 14a5.2 5.2 0 0 1 10.4 0",
  answer: "M8 2l1.5 4.5L14 8l-4.5 1.5L8 14 6.5 9.5 2 8l4.5-1.5z",
  gear: "M8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM8 1.8v2M8 12.2v2M1.8 8h2M12.2 8h2M3.6 3.6L5 5M11 11l1.4 1.4M3.6 12.4L5 11M11 5l1.4-1.4",
  tree: "M3 3.5h4M3 3.5v9M3 8h5M3 12.5h5M9.5 3.5H13M10.5 8H13M10.5 12.5H13",
  compare: "M8 2v12M2.5 4.5h3M2.5 8h3M2.5 11.5h3M10.5 4.5h3M10.5 8h3M10.5 11.5h3",
  send: "M2.5 8l11-5-3.5 11-2.5-4.5zM7.5 9.5L13.5 3",
  file: "M4 2h5l3 3v9H4zM9 2v3h3",
  retry: "M13 8a5 5 0 1 1-1.5-3.5M13 2v3h-3",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
} as const;

export type IconName = keyof typeof PATHS;

/** A decorative icon: the text beside it, or the label of its button, has the meaning. */
export function Icon({ name, spin = false }: { name: IconName; spin?: boolean }) {
  return (
    <svg class={spin ? "icon spinning" : "icon"} viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
