// npm run test:hub-stress -- [seconds] [clients] [processes]: the long form of registry-processes.test.ts, on SQLite and on PostgreSQL where present.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { startPostgres } from "../src/sql/start-postgres.js";
import { stressRegistry } from "./registry-stress.js";

const [seconds = 60, clients = 64, processes = 6] = process.argv.slice(2).map(Number);
const root = mkdtempSync(join(tmpdir(), "seg-hub-stress-"));
const postgres = await startPostgres();
try {
  const places: [string, string][] = [["SQLite", join(root, "registry.sqlite")]];
  if (postgres === null)
    process.stdout.write("PostgreSQL: skipped, neither SEG_TEST_PG_URL nor postgres and initdb on PATH\n");
  else places.push(["PostgreSQL", await postgres.createDatabase("seg_stress")]);
  for (const [name, address] of places) {
    const summary = await stressRegistry({ address, root: join(root, name), processes, clients, seconds });
    process.stdout.write(
      `${name}: ${processes} processes x ${clients} clients, ${seconds} s: ${summary.reads} reads, ${summary.registered} registered, ${summary.deleted} deleted, ${summary.activations} activations, refused ${JSON.stringify(summary.refused)}; ${summary.violations.length} violations\n`,
    );
    for (const violation of summary.violations) process.stderr.write(`  ${violation}\n`);
    if (summary.violations.length > 0) process.exitCode = 1;
  }
} finally {
  await postgres?.stop();
  rmSync(root, { recursive: true, force: true });
}
