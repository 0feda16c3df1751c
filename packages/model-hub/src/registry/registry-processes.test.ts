import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { describeDatabases, temporaryDirectory } from "../../test/databases.js";
import { openRegistry } from "../../test/open-registry.js";
import { stressRegistry } from "../../test/registry-stress.js";
import { runRegistryChild, startRegistryChild } from "../../test/run-child.js";
import { openDatabase } from "../sql/open-database.js";

describeDatabases("ModelRegistry in many processes", (database) => {
  const directory = temporaryDirectory();
  const place = async () => ({
    address: (await database.address())!,
    root: mkdtempSync(join(directory.path, "root-")),
  });

  test("three processes that register at once get distinct names, none lost", async () => {
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
  });

  test("exactly one version is active at every read while processes activate, register, delete and roll back", async () => {
    const summary = await stressRegistry({ ...(await place()), processes: 3, clients: 8, seconds: 2 });
    expect(summary.violations).toEqual([]);
    expect(summary.reads).toBeGreaterThan(0);
    expect(summary.activations).toBeGreaterThan(1);
  });

  test("a process killed while registering leaves whole versions, and its run can be registered again", async () => {
    const { address, root } = await place();
    const sql = await openDatabase(address);
    const { registry } = openRegistry({ sql, root });
    const told = new Set<string>();
    for (let seed = 0; seed < 3; seed++) {
      const { child, output } = startRegistryChild({ mode: "register-files", address, root, seed });
      await once(child.stdout!, "data");
      await sleep(7 * seed);
      child.kill("SIGKILL");
      for (const name of (await output).split("\n").slice(0, -1)) told.add(name);
    }
    const { versions } = await registry.list({ limit: 1000 });
    const listed = new Set(versions.map(({ version }) => version));
    expect([...told].filter((name) => !listed.has(name))).toEqual([]);
    expect(versions.every(({ state }) => state === "ready")).toBe(true);
    for (const { version } of versions) expect((await registry.get(version)).files.length).toBe(2);
    expect((await registry.repair()).damaged).toEqual([]);
    const folders = (await readdir(join(root, "versions"))).filter((name) => name.startsWith("v"));
    expect(folders.sort()).toEqual([...listed].sort());
    for (const { version } of versions) await registry.activate(version);
    const { run_id } = (await registry.get(versions[0]!.version)).manifest;
    const again = await registry.findByRun(run_id!);
    expect(again?.version).toBe(versions[0]!.version);
    await sql.close();
  });
});
