import { randomUUID } from "node:crypto";
import type { HubEvent, Json } from "../registry/types.js";
import type { SqlTransaction } from "../sql/driver.js";
import type { HubEventBus } from "./types.js";

/**
 * Tells this process' subscribers at once and the webhooks reliably: {@link HubEvents.record} writes the calls to make inside the transaction
 * of the change, {@link HubEvents.publish} follows the commit.
 */
export class HubEvents implements HubEventBus {
  readonly #listeners = new Set<(event: HubEvent) => void>();
  readonly #now: () => number;
  readonly #onListenerError: (error: unknown) => void;

  constructor({
    now = Date.now,
    onListenerError = () => undefined,
  }: { now?: () => number; onListenerError?: (error: unknown) => void } = {}) {
    this.#now = now;
    this.#onListenerError = onListenerError;
  }

  /** @returns how to unsubscribe */
  subscribe(listener: (event: HubEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A listener that throws harms neither the change nor the other listeners. */
  publish(event: HubEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#onListenerError(error);
      }
    }
  }

  /** Queues one call per webhook that wants the event. */
  async record(tx: SqlTransaction, type: HubEvent["type"], data: { readonly [key: string]: Json }): Promise<HubEvent> {
    const nowMs = this.#now();
    const event: HubEvent = { id: randomUUID(), type, at: new Date(nowMs).toISOString(), data };
    for (const row of await tx.all("SELECT id, events FROM webhook WHERE disabled = 0")) {
      if (!wantsEvent(JSON.parse(String(row["events"])) as string[], type)) continue;
      await tx.run(
        "INSERT INTO webhook_delivery (webhook_id, event_id, event, attempts, next_ms) VALUES (?, ?, ?, 0, ?)",
        [row["id"]!, event.id, JSON.stringify(event), nowMs],
      );
    }
    return event;
  }
}

/** `*` is every event, `job.*` a family, else the type itself. */
export const wantsEvent = (patterns: readonly string[], type: string): boolean =>
  patterns.some((pattern) => pattern === "*" || pattern === type || pattern === `${type.split(".")[0]}.*`);
