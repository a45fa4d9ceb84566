import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./icons";

interface MenuProps {
  label: string;
  icon?: IconName;
  children: ComponentChildren;
  start?: boolean;
  small?: boolean;
  /** Stays open after a click inside, for boxes. */
  stays?: boolean;
}

/** A button with a list below. It closes on Escape, on a click elsewhere, and after a choice. */
export function Menu({ label, icon, children, start, small, stays }: MenuProps) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const close = (focus: boolean) => {
    setOpen(false);
    if (focus) root.current?.querySelector<HTMLElement>(".button")?.focus();
  };
  useEffect(() => {
    if (!open) return;
    const outside = (event: Event) => root.current?.contains(event.target as Element) || close(false);
    document.addEventListener("pointerdown", outside);
    document.addEventListener("focusin", outside);
    root.current?.querySelector<HTMLElement>(".item, input")?.focus();
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("focusin", outside);
    };
  }, [open]);
  const move = (event: KeyboardEvent) => {
    const items = [...(root.current?.querySelectorAll<HTMLElement>(".item, .list input") ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    if (event.key === "Escape" && open) close(true);
    else if (event.key === "ArrowDown" && !open) setOpen(true);
    else if (event.key === "ArrowDown") items[(at + 1) % items.length]?.focus();
    else if (event.key === "ArrowUp") items.at(at - 1)?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="menu" ref={root} onKeyDown={move}>
      <button class={small ? "button small" : "button"} aria-expanded={open} onClick={() => setOpen(!open)}>
        {icon && <Icon name={icon} />}
        {label}
        <Icon name="down" />
      </button>
      {open && (
        <div class={start ? "list start" : "list"} onClick={() => stays || close(true)}>
          {children}
        </div>
      )}
    </div>
  );
}

export function Item({ icon, children, act }: { icon?: IconName; children: ComponentChildren; act: () => void }) {
  return (
    <button class="item" onClick={act}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}
