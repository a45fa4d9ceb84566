import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icons";

/** A modal dialog. The browser keeps the focus inside, and returns it at the end. */
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} aria-label={title} onClose={close} onClick={(event) => event.target === dialog.current && dialog.current?.close()}>
      <header>
        <h2>{title}</h2>
        <button type="button" class="button plain icon-only" aria-label="Close" onClick={() => dialog.current?.close()}>
          <Icon name="cross" />
        </button>
      </header>
      <div class="body">{children}</div>
    </dialog>
  );
}

/** A question before an action that is hard to undo. */
export function Confirm({ title, text, action, act, close }: { title: string; text: string; action: string; act: () => void; close: () => void }) {
  return (
    <Dialog title={title} close={close}>
      <p>{text}</p>
      <div class="row">
        <button
          type="button"
          class="button primary"
          onClick={() => {
            act();
            close();
          }}
        >
          {action}
        </button>
        <button type="button" class="button" onClick={close}>
          Cancel
        </button>
      </div>
    </Dialog>
  );
}
