import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { describeDatabases } from "../../test/databases.js";
import { integer } from "./driver.js";
import { migrate } from "./migrate.js";
import { MIGRATIONS } from "./migrations.js";
import { openDatabase } from "./open-database.js";
import { numberPlaceholders } from "./postgres-driver.js";
import { retryTransient } from "./retry.js";

describe("numberPlaceholders", () => {
  test("counts question marks from 1", () => {
    expect(numberPlaceholders("SELECT ? WHERE a = ? AND b IN (?, ?)")).toBe("SELECT $1 WHERE a = $2 AND b IN ($3, $4)");
  });
});

describe("retryTransient", () => {
  const clock = { now: () => 0, waits: [] as number[], sleep: async (ms: number) => void clock.waits.push(ms) };
  test("tries ten times more with growing, jittered waits, then gives the error", async () => {
    let calls = 0;
    const busy = new Error("busy");
    const attempt = async () => {
      calls++;
      throw busy;
    };
    await expect(retryTransient(attempt, { isTransient: () => true, clock, random: () => 0.5 })).rejects.toBe(busy);
    expect(calls).toBe(11);
    expect(clock.waits).toEqual([5, 10, 20, 40, 80, 160, 320, 500, 500, 500]);
  });
  test("does not repeat another error", async () => {
    let calls = 0;
    const attempt = async () => {
      calls++;
      throw new Error("syntax");
    };
    await expect(retryTransient(attempt, { isTransient: () => false, clock, random: () => 0 })).rejects.toThrow(
      "syntax",
    );
    expect(calls).toBe(1);
  });
});

test("openDatabase refuses an address of another database", async () => {
  await expect(openDatabase("mysql://host/db")).rejects.toMatchObject({ code: "INVALID_REQUEST" });
});

describeDatabases(
  "SqlDriver",
  (database) => {
    test("stores text, integers up to 2^53 and null as they are", async () => {
      const driver = await database.open();
      try {
        await driver.write((tx) => tx.run("CREATE TABLE probe (id BIGINT PRIMARY KEY, value TEXT, number BIGINT)"));
        let id = 0;
        await fc.assert(
          fc.asyncProperty(
            // PostgreSQL's text holds no NUL.
            fc.option(fc.string({ unit: "grapheme" }).map((value) => value.replaceAll("\0", ""))),
            fc.option(fc.maxSafeInteger()),
            async (value, number) => {
              id++;
              await driver.write((tx) =>
                tx.run("INSERT INTO probe (id, value, number) VALUES (?, ?, ?)", [id, value, number]),
              );
              const [row] = await driver.all("SELECT value, number FROM probe WHERE id = ?", [id]);
              expect(row).toEqual({ value, number });
            },
          ),
          { numRuns: 25 },
        );
      } finally {
        await driver.close();
      }
    });

    test("undoes a transaction whose work throws and counts changed rows", async () => {
      const driver = await database.open();
      try {
        await driver.write((tx) => tx.run("CREATE TABLE probe (id BIGINT PRIMARY KEY)"));
        await expect(
          driver.write(async (tx) => {
            await tx.run("INSERT INTO probe (id) VALUES (1)");
            throw new Error("stop");
          }),
        ).rejects.toThrow("stop");
        expect(await driver.all("SELECT * FROM probe")).toEqual([]);
        const changed = await driver.write(async (tx) => {
          await tx.run("INSERT INTO probe (id) VALUES (1), (2), (3)");
          return tx.run("DELETE FROM probe WHERE id > ?", [1]);
        });
        expect(changed).toBe(2);
      } finally {
        await driver.close();
      }
    });

    test("loses no update of concurrent read-modify-write transactions", async () => {
      const driver = await database.open();
      try {
        await driver.write(async (tx) => {
          await tx.run("CREATE TABLE counter (id BIGINT PRIMARY KEY, value BIGINT NOT NULL)");
          await tx.run("INSERT INTO counter (id, value) VALUES (1, 0)");
        });
        await Promise.all(
          Array.from({ length: 40 }, () =>
            driver.write(async (tx) => {
              const [row] = await tx.all(`SELECT value FROM counter WHERE id = 1${tx.forUpdate}`);
              await tx.run("UPDATE counter SET value = ? WHERE id = 1", [integer(row!, "value") + 1]);
            }),
          ),
        );
        expect(await driver.all("SELECT value FROM counter")).toEqual([{ value: 40 }]);
      } finally {
        await driver.close();
      }
    });

    test("applies each migration once and refuses a newer schema", async () => {
      const driver = await database.open();
      try {
        await migrate(driver);
        const next = {
          id: MIGRATIONS.length + 1,
          name: "probe",
          statements: () => ["CREATE TABLE probe (id BIGINT PRIMARY KEY)"],
        };
        await Promise.all([1, 2, 3].map(() => migrate(driver, { migrations: [...MIGRATIONS, next] })));
        expect(await driver.all("SELECT COUNT(*) AS n FROM schema_migration")).toEqual([{ n: next.id }]);
        await expect(migrate(driver)).rejects.toMatchObject({
          code: "SCHEMA_TOO_NEW",
          details: { found: next.id, known: MIGRATIONS.length },
        });
      } finally {
        await driver.close();
      }
    });

    test("a migration that fails leaves the schema as it was", async () => {
      const driver = await database.open();
      try {
        const broken = {
          id: MIGRATIONS.length + 1,
          name: "broken",
          statements: () => ["CREATE TABLE probe (id BIGINT PRIMARY KEY)", "CREATE TABLE probe (id BIGINT)"],
        };
        await expect(migrate(driver, { migrations: [...MIGRATIONS, broken] })).rejects.toThrow();
        await expect(driver.all("SELECT * FROM probe")).rejects.toThrow();
        await migrate(driver);
      } finally {
        await driver.close();
      }
    });
  },
  { pglite: true },
);
