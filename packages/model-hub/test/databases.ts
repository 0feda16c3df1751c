import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { afterAll, beforeAll, describe } from "vitest";
import type { SqlDriver } from "../src/sql/driver.js";
import { migrate } from "../src/sql/migrate.js";
import { Mutex } from "../src/sql/mutex.js";
import { openDatabase } from "../src/sql/open-database.js";
import { type PostgresClient, PostgresDriver, type PostgresPool } from "../src/sql/postgres-driver.js";
import { findOnPath, type LocalPostgres, startPostgres } from "../src/sql/start-postgres.js";

/** A folder that is removed when the file's tests have ended. */
export function temporaryDirectory(): { readonly path: string } {
  const directory = { path: "" };
  beforeAll(() => {
    directory.path = mkdtempSync(join(tmpdir(), "seg-hub-"));
  });
  afterAll(() => rmSync(directory.path, { recursive: true, force: true }));
  return directory;
}

/** PGlite behind the pool's interface: one connection, taken in turns; closing is left to its owner. */
function pglitePool(database: PGlite): PostgresPool {
  const turns = new Mutex();
  return {
    connect: () =>
      new Promise<PostgresClient>((resolve) => {
        void turns.run(
          () =>
            new Promise<void>((release) =>
              resolve({
                query: async (sql, parameters) => {
                  const { rows, affectedRows } = await database.query(sql, parameters);
                  return { rows, rowCount: affectedRows ?? rows.length };
                },
                release: () => release(),
              }),
            ),
        );
      }),
    end: async () => undefined,
  };
}

/** Making or stopping a database cluster on a machine that runs many test files at once. */
const SERVER_START_MS = 180_000;

export const hasPostgres =
  process.env["SEG_TEST_PG_URL"] !== undefined ||
  ((await findOnPath("postgres")) !== null && (await findOnPath("initdb")) !== null);

export interface TestDatabase {
  /** A new, empty database with the present schema. */
  open(): Promise<SqlDriver>;
  /** Address that another process can open; the database is new. Null where there is one connection. */
  address(): Promise<string | null>;
}

/** Runs a suite on SQLite and on PostgreSQL, the latter skipped by name where it is absent; on PGlite when `pglite` asks for the dialect alone. */
export function describeDatabases(
  name: string,
  suite: (database: TestDatabase) => void,
  { pglite = false }: { pglite?: boolean } = {},
): void {
  let count = 0;
  const unique = () => `seg_${process.pid}_${count++}`;
  describe(`${name} on SQLite`, () => {
    const directory = temporaryDirectory();
    const address = async () => join(directory.path, `${unique()}.sqlite`);
    suite({ open: async () => openDatabase(await address()), address });
  });
  if (pglite) {
    describe(`${name} on PGlite`, () => {
      // Its cold start takes seconds, so one instance serves the suite.
      let database: PGlite;
      beforeAll(async () => {
        database = await PGlite.create();
      }, SERVER_START_MS);
      afterAll(() => database.close());
      const open = async () => {
        await database.exec("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        const driver = new PostgresDriver({ location: "pglite", pool: pglitePool(database) });
        await migrate(driver);
        return driver;
      };
      suite({ open, address: async () => null });
    });
  }
  describe.skipIf(!hasPostgres)(`${name} on PostgreSQL`, () => {
    let server: LocalPostgres | null = null;
    beforeAll(async () => {
      server = await startPostgres();
    }, SERVER_START_MS);
    afterAll(async () => server?.stop(), SERVER_START_MS);
    const address = () => server!.createDatabase(unique());
    suite({ open: async () => openDatabase(await address()), address });
  });
}
