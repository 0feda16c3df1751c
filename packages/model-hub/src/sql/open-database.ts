import { HubError } from "../errors.js";
import type { SqlDriver } from "./driver.js";
import { migrate } from "./migrate.js";
import { PostgresDriver } from "./postgres-driver.js";
import { SqliteDriver } from "./sqlite-driver.js";

/**
 * Opens the database that `url` names and brings its schema up to date.
 *
 * @param url - `postgres://...` or `postgresql://...`, else the path of a SQLite file
 * @throws {@link HubError} INVALID_REQUEST for another scheme, SCHEMA_TOO_NEW
 */
export async function openDatabase(url: string): Promise<SqlDriver> {
  const scheme = /^([a-z][a-z0-9+]+):\/\//i.exec(url)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== "postgres" && scheme !== "postgresql") {
    throw new HubError({
      code: "INVALID_REQUEST",
      message: `No database driver for ${scheme}://. Give the path of a SQLite file or a postgres:// address.`,
      details: { scheme },
    });
  }
  const driver = scheme === undefined ? await SqliteDriver.open({ path: url }) : await PostgresDriver.open({ url });
  try {
    await migrate(driver);
  } catch (error) {
    await driver.close();
    throw error;
  }
  return driver;
}
