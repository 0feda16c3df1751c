import { randomUUID } from "node:crypto";
import { z } from "zod";
import { HubError } from "../errors.js";
import { parseOrThrow } from "../registry/parse.js";
import { integer, type SqlDriver, type SqlRow, text, textOrNull } from "../sql/driver.js";
import { assertCallableUrl } from "./callable-url.js";
import type { WebhookRecord, WebhookStorePort } from "./types.js";

const createInput = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).max(2048),
  // A short secret could be found from one signed call.
  secret: z.string().min(16).max(512),
  events: z
    .array(z.string().regex(/^(\*|(version|job)\.(\*|[a-z]+))$/))
    .min(1)
    .max(32)
    .default(["*"]),
  created_by: z.string().max(256).nullable().default(null),
});

/** Who is called when something happens. */
export class WebhookStore implements WebhookStorePort {
  readonly #sql: SqlDriver;
  readonly #now: () => number;
  readonly #allowPrivate: boolean;

  /** @param allowPrivateWebhooks - also addresses inside one's own network. @defaultValue false */
  constructor({
    sql,
    now = Date.now,
    allowPrivateWebhooks = false,
  }: { sql: SqlDriver; now?: () => number; allowPrivateWebhooks?: boolean }) {
    this.#sql = sql;
    this.#now = now;
    this.#allowPrivate = allowPrivateWebhooks;
  }

  async create(input: {
    url: string;
    secret: string;
    events?: readonly string[];
    created_by?: string | null;
  }): Promise<WebhookRecord> {
    const { url, secret, events, created_by } = parseOrThrow(createInput, input, "The webhook");
    if (!this.#allowPrivate) await assertCallableUrl(url);
    const [row] = await this.#sql.write((tx) =>
      tx.all(
        "INSERT INTO webhook (id, url, secret, events, created_at, created_by, disabled) VALUES (?, ?, ?, ?, ?, ?, 0) RETURNING *",
        [randomUUID(), url, secret, JSON.stringify(events), new Date(this.#now()).toISOString(), created_by],
      ),
    );
    return toRecord(row!);
  }

  async list(): Promise<readonly WebhookRecord[]> {
    return (await this.#sql.all("SELECT * FROM webhook ORDER BY created_at, id")).map(toRecord);
  }

  async delete(id: string): Promise<void> {
    const removed = await this.#sql.write(async (tx) => {
      await tx.run("DELETE FROM webhook_delivery WHERE webhook_id = ?", [id]);
      return tx.run("DELETE FROM webhook WHERE id = ?", [id]);
    });
    if (removed === 0) {
      throw new HubError({ code: "NOT_FOUND", message: `There is no webhook ${JSON.stringify(id)}.`, details: { id } });
    }
  }
}

const toRecord = (row: SqlRow): WebhookRecord => ({
  id: text(row, "id"),
  url: text(row, "url"),
  events: JSON.parse(text(row, "events")) as string[],
  created_at: text(row, "created_at"),
  created_by: textOrNull(row, "created_by"),
  disabled: integer(row, "disabled") === 1,
});
