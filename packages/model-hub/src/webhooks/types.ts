import type { HubEvent } from "../registry/types.js";

/** One address that hears of events. */
export interface WebhookRecord {
  readonly id: string;
  readonly url: string;
  /** Event types, `*` for all, `job.*` for a family. */
  readonly events: readonly string[];
  readonly created_at: string;
  readonly created_by: string | null;
  readonly disabled: boolean;
}

/** Keeps the addresses that hear of events. */
export interface WebhookStorePort {
  /** `secret` signs `timestamp.body`; kept, because signing needs it, and never shown again. @throws HubError INVALID_REQUEST */
  create(input: {
    url: string;
    secret: string;
    events?: readonly string[];
    created_by?: string | null;
  }): Promise<WebhookRecord>;
  list(): Promise<readonly WebhookRecord[]>;
  delete(id: string): Promise<void>;
}

/** Subscribers in this process. */
export interface HubEventBus {
  subscribe(listener: (event: HubEvent) => void): () => void;
  publish(event: HubEvent): void;
}
