import { HubError } from "../errors.js";
import { integer, type SqlDriver } from "./driver.js";
import { MIGRATIONS, type Migration } from "./migrations.js";

/** Any number that every process of this package agrees on and no other program uses. */
const ADVISORY_LOCK = 0x5e9_4b0b;

/**
 * Brings the schema up to date, each migration one transaction; processes that start together apply each one once.
 * @throws {@link HubError} SCHEMA_TOO_NEW when a newer version of this package has been here
 */
export async function migrate(
  driver: SqlDriver,
  { migrations = MIGRATIONS, now = Date.now }: { migrations?: readonly Migration[]; now?: () => number } = {},
): Promise<void> {
  await driver.write(async (tx) => {
    // `IF NOT EXISTS` alone races on PostgreSQL: two sessions may both see it absent.
    if (tx.dialect === "postgres") await tx.all(`SELECT pg_advisory_xact_lock(${ADVISORY_LOCK})`);
    await tx.run(
      "CREATE TABLE IF NOT EXISTS schema_migration (id BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)",
    );
  });
  const newest = migrations.at(-1)?.id ?? 0;
  for (const migration of migrations) {
    await driver.write(async (tx) => {
      if (tx.dialect === "postgres") await tx.all(`SELECT pg_advisory_xact_lock(${ADVISORY_LOCK})`);
      const [row] = await tx.all("SELECT COALESCE(MAX(id), 0) AS id FROM schema_migration");
      const at = integer(row!, "id");
      if (at > newest) {
        throw new HubError({
          code: "SCHEMA_TOO_NEW",
          message: `The database ${driver.location} has schema ${at}, this version of @seg/model-hub knows ${newest}. Update the package.`,
          details: { found: at, known: newest },
        });
      }
      if (at >= migration.id) return;
      for (const statement of migration.statements(tx.dialect)) await tx.run(statement);
      await tx.run("INSERT INTO schema_migration (id, name, applied_at) VALUES (?, ?, ?)", [
        migration.id,
        migration.name,
        new Date(now()).toISOString(),
      ]);
    });
  }
}
