import { mkdtempSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { describeDatabases, temporaryDirectory } from "../../test/databases.js";
import { openRegistry } from "../../test/open-registry.js";
import { killRegistering } from "../../test/registry-kills.js";
import { stressRegistry } from "../../test/registry-stress.js";
import { runRegistryChild } from "../../test/run-child.js";
import { openDatabase } from "../sql/open-database.js";

/** Many processes on a machine that runs many test files at once. */
const PATIENCE_MS = 300_000;

describeDatabases("ModelRegistry in many processes", (database) => {
  const directory = temporaryDirectory();
  const place = async () => ({
    address: (await database.address())!,
    root: mkdtempSync(join(directory.path, "root-")),
  });

  test(
    "three processes that register at once get distinct names, none lost",
    async () => {
      const { address, root } = await place();
      // The schema, too, is made by whoever comes first.
      const names = (
        await Promise.all(
          [1, 2, 3].map((seed) => runRegistryChild<string[]>({ mode: "register", address, root, seed, count: 20 })),
        )
      ).flat();
      expect(new Set(names).size).toBe(60);
      const sql = await openDatabase(address);
      const { versions, total } = await openRegistry({ sql, root }).registry.list({ limit: 1000 });
      await sql.close();
      expect(total).toBe(60);
      expect(versions.map(({ version }) => version).sort()).toEqual([...names].sort());
      expect(versions.map(({ seq }) => seq)).toEqual(Array.from({ length: 60 }, (_, i) => 60 - i));
      expect((await readdir(join(root, "versions"))).sort()).toEqual([...names].sort());
    },
    PATIENCE_MS,
  );

  test(
    "exactly one version is active at every read while processes activate, register, delete and roll back",
    async () => {
      const summary = await stressRegistry({ ...(await place()), processes: 3, clients: 8, seconds: 2 });
      expect(summary.violations).toEqual([]);
      expect(summary.reads).toBeGreaterThan(0);
      expect(summary.activations).toBeGreaterThan(1);
    },
    PATIENCE_MS,
  );

  test(
    "a process killed while registering leaves whole versions, and its run can be registered again",
    async () => {
      const summary = await killRegistering({ ...(await place()), kills: 3 });
      expect(summary.violations).toEqual([]);
      expect(summary.registered).toBeGreaterThanOrEqual(3);
    },
    PATIENCE_MS,
  );
});
