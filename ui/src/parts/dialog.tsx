import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { IconButton } from "./controls";

/** A modal dialog. The browser keeps the focus inside, and returns it at the end. */
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-label={title}
      onClose={close}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
    >
      <header>
        <h2>{title}</h2>
        <IconButton icon="cross" label="Close" act={() => dialog.current?.close()} />
      </header>
      <div class="body">{children}</div>
    </dialog>
  );
}

/** A question before an action that is hard to undo. */
export function Confirm({
  title,
  text,
  action,
  act,
  close,
}: {
  title: string;
  text: string;
  action: string;
  act: () => void;
  close: () => void;
}) {
  return (
    <Dialog title={title} close={close}>
      <p>{text}</p>
      <div class="row">
        <button
          class="button primary"
          onClick={() => {
            act();
            close();
          }}
        >
          {action}
        </button>
        <button class="button" onClick={close}>
          Cancel
        </button>
      </div>
    </Dialog>
  );
}
