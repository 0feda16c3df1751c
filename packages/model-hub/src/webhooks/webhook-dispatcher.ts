import { createHmac } from "node:crypto";
import { type HubClock, systemClock } from "../internal/clock.js";
import { jitter } from "../internal/jitter.js";
import { integer, type SqlDriver, text } from "../sql/driver.js";
import { assertCallableUrl } from "./callable-url.js";

/** Tries in all. */
export const MAX_ATTEMPTS = 8;
const FIRST_WAIT_MS = 1000;
const MAX_WAIT_MS = 300_000;
const TIMEOUT_MS = 10_000;
/** A delivery in hand is hidden from other dispatchers for longer than it can take. */
const HIDDEN_MS = 3 * TIMEOUT_MS;
const BATCH = 20;

/** Lower-case hex HMAC-SHA256 of `timestamp.body`. */
export const signWebhook = (secret: string, timestamp: string, body: string): string =>
  createHmac("sha256", secret).update(`${timestamp}.${body}`).digest("hex");

export interface WebhookDispatcherOptions {
  readonly sql: SqlDriver;
  readonly clock?: HubClock;
  readonly random?: () => number;
  readonly fetch?: typeof globalThis.fetch;
  readonly allowPrivateWebhooks?: boolean;
  /** @defaultValue 1000 */
  readonly pollMs?: number;
}

/**
 * Calls webhooks: `POST` of the event as JSON with `X-Seg-Event`, `X-Seg-Delivery`, `X-Seg-Timestamp` (seconds) and `X-Seg-Signature`
 * (`sha256=` and HMAC-SHA256 over `timestamp.body`). Anything but 2xx is tried again after 1, 2, 4, ... 300 s, at most eight times in all;
 * a receiver may get a call twice and tells by `X-Seg-Delivery`.
 */
export class WebhookDispatcher {
  readonly #sql: SqlDriver;
  readonly #clock: HubClock;
  readonly #random: () => number;
  readonly #fetch: typeof globalThis.fetch;
  readonly #allowPrivate: boolean;
  readonly #pollMs: number;
  #stop: AbortController | null = null;
  #loop: Promise<void> = Promise.resolve();

  constructor({
    sql,
    clock = systemClock,
    random = jitter,
    fetch = globalThis.fetch,
    allowPrivateWebhooks = false,
    pollMs = 1000,
  }: WebhookDispatcherOptions) {
    this.#sql = sql;
    this.#clock = clock;
    this.#random = random;
    this.#fetch = fetch;
    this.#allowPrivate = allowPrivateWebhooks;
    this.#pollMs = pollMs;
  }

  start(): void {
    if (this.#stop !== null) return;
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    this.#loop = (async () => {
      while (!signal.aborted) {
        // The database is away for the moment: what is due stays due.
        const delivered = await this.deliverDue(signal).catch(() => 0);
        if (delivered === 0) await this.#clock.sleep(this.#pollMs, signal).catch(() => undefined);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#stop?.abort();
    await this.#loop;
    this.#stop = null;
  }

  /** Makes the calls that are due. @returns how many were tried */
  async deliverDue(signal?: AbortSignal): Promise<number> {
    const nowMs = this.#clock.now();
    const [due] = await this.#sql.all("SELECT 1 AS found FROM webhook_delivery WHERE next_ms <= ? LIMIT 1", [nowMs]);
    if (due === undefined) return 0;
    const rows = await this.#sql.write(async (tx) => {
      const found = await tx.all(
        `SELECT d.seq, d.attempts, d.event, d.event_id, w.url, w.secret FROM webhook_delivery d
          JOIN webhook w ON w.id = d.webhook_id WHERE d.next_ms <= ? ORDER BY d.seq LIMIT ${BATCH}${tx.dialect === "postgres" ? " FOR UPDATE OF d SKIP LOCKED" : ""}`,
        [nowMs],
      );
      for (const row of found) {
        await tx.run("UPDATE webhook_delivery SET next_ms = ?, attempts = attempts + 1 WHERE seq = ?", [
          nowMs + HIDDEN_MS,
          row["seq"]!,
        ]);
      }
      return found;
    });
    await Promise.all(
      rows.map(async (row) => {
        const problem = await this.#call(
          text(row, "url"),
          text(row, "secret"),
          text(row, "event"),
          text(row, "event_id"),
          signal,
        );
        const attempts = integer(row, "attempts") + 1;
        await this.#sql.write((tx) =>
          problem === null || attempts >= MAX_ATTEMPTS
            ? tx.run("DELETE FROM webhook_delivery WHERE seq = ?", [row["seq"]!])
            : tx.run("UPDATE webhook_delivery SET next_ms = ?, last_error = ? WHERE seq = ?", [
                this.#clock.now() +
                  Math.round(Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempts - 1)) * (0.8 + 0.4 * this.#random())),
                problem.slice(0, 500),
                row["seq"]!,
              ]),
        );
      }),
    );
    return rows.length;
  }

  /** @returns null when the receiver took it, else why not */
  async #call(url: string, secret: string, body: string, id: string, signal?: AbortSignal): Promise<string | null> {
    try {
      // Again at each call: a name may lead elsewhere by now.
      if (!this.#allowPrivate) await assertCallableUrl(url);
      const timestamp = String(Math.floor(this.#clock.now() / 1000));
      const timeout = AbortSignal.timeout(TIMEOUT_MS);
      const response = await this.#fetch(url, {
        method: "POST",
        body,
        // A redirect could lead to where a webhook may not.
        redirect: "manual",
        signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
        headers: {
          "content-type": "application/json",
          "x-seg-event": (JSON.parse(body) as { type: string }).type,
          "x-seg-delivery": id,
          "x-seg-timestamp": timestamp,
          "x-seg-signature": `sha256=${signWebhook(secret, timestamp, body)}`,
        },
      });
      await response.body?.cancel();
      return response.ok ? null : `status ${response.status}`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}
