import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

/** A modal question; Escape and the first button say no. Focus goes back to where it was by itself. */
export interface Question {
  readonly title: string;
  readonly body: ComponentChildren;
  readonly action: string;
  readonly isDanger?: boolean;
  onYes(): void | Promise<void>;
}

export function ConfirmDialog({ question, onClose }: { question: Question; onClose(): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  // Before the next key is handled, so that nothing typed ahead goes to the page behind.
  useLayoutEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element?.showModal();
    return () => {
      element?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="question" onCancel={onClose} onClose={onClose}>
      <h2 id="question">{question.title}</h2>
      <div class="dialog-body">{question.body}</div>
      <div class="actions">
        <button type="button" onClick={onClose}>
          Keep as it is
        </button>
        <button
          type="button"
          class={question.isDanger ? "danger" : "primary"}
          onClick={() => {
            onClose();
            void question.onYes();
          }}
        >
          {question.action}
        </button>
      </div>
    </dialog>
  );
}
