import { type HubClock, systemClock } from "../internal/clock.js";
import { jitter } from "../internal/jitter.js";
import type { SqlDriver, SqlRow, SqlTransaction, SqlValue } from "./driver.js";
import { retryTransient } from "./retry.js";

/** The part of a `pg` client that is used; PGlite's tests give another. */
export interface PostgresClient {
  query(sql: string, parameters?: unknown[]): Promise<{ rows: unknown[]; rowCount: number | null }>;
  /** Gives the connection back, or ends it when it failed. */
  release(error?: unknown): void;
}

export interface PostgresPool {
  connect(): Promise<PostgresClient>;
  end(): Promise<void>;
}

/** Serialization failure, deadlock, a lock that was not available. */
const TRANSIENT = new Set(["40001", "40P01", "55P03"]);
const isTransient = (error: unknown): boolean => TRANSIENT.has(String((error as { code?: unknown }).code));

/** `?` becomes `$1`, `$2`, ... */
export function numberPlaceholders(sql: string): string {
  let count = 0;
  return sql.replace(/\?/g, () => `$${++count}`);
}

/** PostgreSQL 15 or later: read committed, the rows that a transaction depends on are locked by it. */
export class PostgresDriver implements SqlDriver {
  readonly dialect = "postgres";
  readonly location: string;
  readonly #pool: PostgresPool;
  readonly #retry: { isTransient: (error: unknown) => boolean; clock: HubClock; random: () => number };

  constructor({
    pool,
    location,
    clock = systemClock,
    random = jitter,
  }: { pool: PostgresPool; location: string; clock?: HubClock; random?: () => number }) {
    this.#pool = pool;
    this.location = location;
    this.#retry = { isTransient, clock, random };
  }

  /** @param url - `postgres://user:password@host/database`, or with `?host=/folder/of/the/socket` */
  static async open({ url, maxConnections = 10 }: { url: string; maxConnections?: number }): Promise<PostgresDriver> {
    const { default: pg } = await import("pg");
    const pool = new pg.Pool({
      connectionString: url,
      max: maxConnections,
      types: {
        // BIGINT comes as text by default; ours stay below 2^53.
        getTypeParser: ((oid: number, format?: "text" | "binary") =>
          oid === pg.types.builtins.INT8
            ? (value: string) => Number(value)
            : pg.types.getTypeParser(oid, format as "text")) as typeof pg.types.getTypeParser,
      },
    });
    // An idle connection that the server ends is replaced at the next use; without a listener it would end the process.
    pool.on("error", () => undefined);
    const address = new URL(url);
    return new PostgresDriver({ pool, location: `postgres://${address.host}${address.pathname}` });
  }

  async all(sql: string, parameters: readonly SqlValue[] = []): Promise<SqlRow[]> {
    return retryTransient(
      () =>
        this.#connected(
          async (client) => (await client.query(numberPlaceholders(sql), [...parameters])).rows as SqlRow[],
        ),
      this.#retry,
    );
  }

  write<Result>(work: (tx: SqlTransaction) => Promise<Result>): Promise<Result> {
    return retryTransient(
      () =>
        this.#connected(async (client) => {
          await client.query("BEGIN");
          try {
            const result = await work(wrap(client));
            await client.query("COMMIT");
            return result;
          } catch (error) {
            // On a broken connection this fails too, and the server rolls back by itself; the first error is the one to tell.
            await client.query("ROLLBACK").catch(() => undefined);
            throw error;
          }
        }),
      this.#retry,
    );
  }

  async #connected<Result>(use: (client: PostgresClient) => Promise<Result>): Promise<Result> {
    const client = await this.#pool.connect();
    let failure: unknown;
    try {
      return await use(client);
    } catch (error) {
      // Errors of the server carry a five-character SQLSTATE and leave the connection usable; so do errors of ours. A broken socket does not.
      const code = (error as { code?: unknown }).code;
      if (typeof code === "string" && /^E[A-Z]+$/.test(code)) failure = error;
      throw error;
    } finally {
      client.release(failure);
    }
  }

  close(): Promise<void> {
    return this.#pool.end();
  }
}

function wrap(client: PostgresClient): SqlTransaction {
  const query = (sql: string, parameters: readonly SqlValue[] = []) =>
    client.query(numberPlaceholders(sql), [...parameters]);
  return {
    dialect: "postgres",
    forUpdate: " FOR UPDATE",
    forUpdateSkipLocked: " FOR UPDATE SKIP LOCKED",
    all: async (sql, parameters) => (await query(sql, parameters)).rows as SqlRow[],
    run: async (sql, parameters) => (await query(sql, parameters)).rowCount ?? 0,
  };
}
