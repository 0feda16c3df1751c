import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import type { Client, ResultSet, Transaction } from "@libsql/client";
import { HubError } from "../errors.js";
import { type HubClock, systemClock } from "../internal/clock.js";
import { jitter } from "../internal/jitter.js";
import { HUB_PLACES, storageError } from "../internal/storage-error.js";
import type { SqlDriver, SqlRow, SqlTransaction, SqlValue } from "./driver.js";
import { Mutex } from "./mutex.js";
import { retryTransient } from "./retry.js";

/** How long one statement waits for another process' lock before SQLITE_BUSY, after which the transaction is tried again. */
const BUSY_TIMEOUT_MS = 5000;
/**
 * SQLite serves waiting processes in no order: each looks again up to 100 ms later. Without a pause between its own writes a busy process would
 * keep the others out for minutes; a write takes some 5 ms, so this leaves the file free for a sixth of the time.
 */
const GAP_MS = 1;
const MUTEXES = Symbol.for("@seg/hub-sqlite-mutexes");

/**
 * One mutex per file and process, shared by every copy of this package: a second `BEGIN IMMEDIATE` of the same process would wait inside a
 * synchronous call, so that the first transaction could never end.
 */
function mutexOf(path: string): Mutex {
  const holder = globalThis as { [MUTEXES]?: Map<string, Mutex> };
  holder[MUTEXES] ??= new Map();
  const mutexes = holder[MUTEXES];
  const mutex = mutexes.get(path) ?? new Mutex();
  mutexes.set(path, mutex);
  return mutex;
}

const isBusy = (error: unknown): boolean => {
  const code = (error as { code?: unknown }).code;
  return code === "SQLITE_BUSY" || code === "SQLITE_LOCKED";
};

/** libsql names the error of opening by its number only. */
const named = (error: unknown): unknown =>
  error instanceof Error && /Unable to open connection.*: 14\b/.test(error.message)
    ? Object.assign(error, { code: "SQLITE_CANTOPEN" })
    : error;

const rowsOf = (result: ResultSet): SqlRow[] => result.rows as unknown as SqlRow[];

/**
 * SQLite in one file: write-ahead log, a lock wait of 5 s, `BEGIN IMMEDIATE` (a deferred transaction that turns into a writer fails at once
 * when another one wrote, whatever the lock wait), up to ten tries. Commits are flushed to disk (`synchronous=FULL`).
 */
export class SqliteDriver implements SqlDriver {
  readonly dialect = "sqlite";
  readonly location: string;
  readonly #client: Client;
  readonly #mutex: Mutex;
  readonly #retry: { isTransient: (error: unknown) => boolean; clock: HubClock; random: () => number };

  private constructor(path: string, client: Client, clock: HubClock, random: () => number) {
    this.location = path;
    this.#client = client;
    this.#mutex = mutexOf(path);
    this.#retry = { isTransient: isBusy, clock, random };
  }

  /**
   * Opens or makes the file; its folder is made.
   * @throws {@link HubError} `INTERNAL` or `NO_SPACE`, with path and reason, where it cannot be
   */
  static async open({
    path,
    clock = systemClock,
    random = jitter,
  }: {
    path: string;
    clock?: HubClock;
    random?: () => number;
  }): Promise<SqliteDriver> {
    const absolute = resolve(path);
    const { createClient } = await import("@libsql/client");
    try {
      mkdirSync(dirname(absolute), { recursive: true });
      // `timeout` and not a PRAGMA: the client opens connections as it needs them, and a PRAGMA would reach only one.
      const client = createClient({ url: pathToFileURL(absolute).href, timeout: BUSY_TIMEOUT_MS });
      const driver = new SqliteDriver(absolute, client, clock, random);
      await retryTransient(() => client.execute("PRAGMA journal_mode = WAL"), driver.#retry);
      return driver;
    } catch (error) {
      throw storageError(named(error), absolute, HUB_PLACES);
    }
  }

  async all(sql: string, parameters: readonly SqlValue[] = []): Promise<SqlRow[]> {
    return rowsOf(await retryTransient(() => this.#client.execute({ sql, args: [...parameters] }), this.#retry));
  }

  /** @throws {@link HubError} `INTERNAL` when other processes held the file for the whole of all tries, or it cannot be written; `NO_SPACE` */
  async write<Result>(work: (tx: SqlTransaction) => Promise<Result>): Promise<Result> {
    // The mutex is taken per attempt: whoever waits for another process does not keep the others of this process waiting.
    const attempt = () =>
      this.#mutex.run(() => this.#attempt(work).finally(() => this.#mutex.waiting > 0 && sleep(GAP_MS)));
    try {
      return await retryTransient(attempt, this.#retry);
    } catch (cause) {
      if (!isBusy(cause)) throw storageError(cause, this.location, HUB_PLACES);
      throw new HubError({
        code: "INTERNAL",
        message: `Other processes write to ${this.location} without a pause; this one found no turn. Use PostgreSQL for so many writers: --database postgres://..., SEG_HUB_DATABASE.`,
        cause,
        details: { path: this.location },
      });
    }
  }

  async #attempt<Result>(work: (tx: SqlTransaction) => Promise<Result>): Promise<Result> {
    const transaction = await this.#client.transaction("write");
    try {
      const result = await work(wrap(transaction));
      await transaction.commit();
      return result;
    } finally {
      // Rolls back what was not committed.
      transaction.close();
    }
  }

  async close(): Promise<void> {
    this.#client.close();
  }
}

function wrap(transaction: Transaction): SqlTransaction {
  return {
    dialect: "sqlite",
    forUpdate: "",
    forUpdateSkipLocked: "",
    all: async (sql, parameters = []) => rowsOf(await transaction.execute({ sql, args: [...parameters] })),
    run: async (sql, parameters = []) => (await transaction.execute({ sql, args: [...parameters] })).rowsAffected,
  };
}
