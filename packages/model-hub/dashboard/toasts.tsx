import type { ComponentChildren } from "preact";

/** A message in the corner; it stays until it is closed, because nobody should have to be quick. */
export interface Toast {
  readonly id: number;
  readonly kind: "success" | "error" | "info";
  readonly title: string;
  readonly body?: ComponentChildren;
  readonly action?: { readonly label: string; run(): void };
}

export function Toasts({ toasts, onClose }: { toasts: readonly Toast[]; onClose(id: number): void }) {
  return (
    <section class="toasts" aria-label="Notifications" aria-live="polite">
      {toasts.map(({ id, kind, title, body, action }) => (
        <div key={id} class={`toast ${kind}`} role={kind === "error" ? "alert" : "status"}>
          <div class="toast-head">
            <strong>{title}</strong>
            <button type="button" class="icon" aria-label={`Close: ${title}`} onClick={() => onClose(id)}>
              ×
            </button>
          </div>
          {body !== undefined && <div class="toast-body">{body}</div>}
          {action !== undefined && (
            <div class="actions">
              <button type="button" class="primary" onClick={action.run}>
                {action.label}
              </button>
            </div>
          )}
        </div>
      ))}
    </section>
  );
}
