import type { ComponentChildren } from "preact";

/** Pushes the elements behind it to the end of a row. */
export function Grow() {
  return <span class="grow" />;
}

export function Mute({ small, children }: { small?: boolean; children?: ComponentChildren }) {
  return <span class={small ? "mute small" : "mute"}>{children}</span>;
}
