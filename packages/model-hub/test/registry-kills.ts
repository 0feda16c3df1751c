import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openDatabase } from "../src/sql/open-database.js";
import { openRegistry } from "./open-registry.js";
import { startRegistryChild } from "./run-child.js";

/** What was left by processes that were killed while they registered. */
export interface KillSummary {
  readonly kills: number;
  /** Versions that a process had announced before it died. */
  readonly announced: number;
  readonly registered: number;
  readonly violations: readonly string[];
}

/** Kills `kills` processes, each at another moment of a registration with files, and looks at what they left. */
export async function killRegistering({
  address,
  root,
  kills,
}: {
  address: string;
  root: string;
  kills: number;
}): Promise<KillSummary> {
  const sql = await openDatabase(address);
  const { registry } = openRegistry({ sql, root });
  const violations: string[] = [];
  const announced = new Set<string>();
  for (let seed = 0; seed < kills; seed++) {
    const { child, output } = await startRegistryChild({ mode: "register-files", address, root, seed });
    await once(child.stdout!, "data");
    // Steps of 0.7 ms walk through a registration, which takes a few milliseconds.
    await sleep((seed * 0.7) % 15);
    child.kill("SIGKILL");
    for (const name of (await output).split("\n").slice(0, -1)) announced.add(name);
  }
  const listed = new Set<string>();
  for (let cursor: string | null = null; ; ) {
    const page = await registry.list({ limit: 1000, cursor });
    for (const { version, state } of page.versions) {
      listed.add(version);
      if (state !== "ready") violations.push(`${version} is ${state}`);
    }
    cursor = page.next_cursor;
    if (cursor === null) break;
  }
  for (const name of announced) if (!listed.has(name)) violations.push(`${name} was announced and is lost`);
  for (const version of listed) {
    const { files, manifest } = await registry.get(version);
    if (files.length !== 2) violations.push(`${version} has ${files.length} files`);
    // The same run once more: nothing new.
    const again = await registry.findByRun(manifest.run_id!);
    if (again?.version !== version) violations.push(`run ${manifest.run_id} has another version`);
    await registry.activate(version);
  }
  const { damaged } = await registry.repair();
  violations.push(...damaged.map(({ version, problem }) => `${version}: ${problem}`));
  const folders = (await readdir(join(root, "versions"))).filter((name) => name.startsWith("v"));
  if (folders.sort().join() !== [...listed].sort().join()) violations.push("folders and versions differ");
  await sql.close();
  return { kills, announced: announced.size, registered: listed.size, violations };
}
