// npm run test:hub-stress -- [seconds] [clients] [processes] [kills]: the long form of registry-processes.test.ts, on SQLite and on PostgreSQL where present.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { startPostgres } from "../src/sql/start-postgres.js";
import { killRegistering } from "./registry-kills.js";
import { stressRegistry } from "./registry-stress.js";

const [seconds = 60, clients = 64, processes = 6, kills = 50] = process.argv.slice(2).map(Number);
const root = mkdtempSync(join(tmpdir(), "seg-hub-stress-"));
const postgres = await startPostgres();
try {
  let count = 0;
  const report = (violations: readonly string[]) => {
    for (const violation of violations) process.stderr.write(`  ${violation}\n`);
    if (violations.length > 0) process.exitCode = 1;
  };
  const places: [string, () => Promise<string>][] = [["SQLite", async () => join(root, `${count++}.sqlite`)]];
  if (postgres === null)
    process.stdout.write("PostgreSQL: skipped, neither SEG_TEST_PG_URL nor postgres and initdb on PATH\n");
  else places.push(["PostgreSQL", () => postgres.createDatabase(`seg_stress_${count++}`)]);
  for (const [name, renew] of places) {
    let address = await renew();
    if (kills > 0) {
      const killed = await killRegistering({ address, root: join(root, `${name}-kills`), kills });
      process.stdout.write(
        `${name}: ${kills} SIGKILLs while registering: ${killed.announced} versions announced, ${killed.registered} found, ${killed.violations.length} violations\n`,
      );
      report(killed.violations);
      // The next part counts every version.
      address = await renew();
    }
    const summary = await stressRegistry({ address, root: join(root, name), processes, clients, seconds });
    process.stdout.write(
      `${name}: ${processes} processes x ${clients} clients, ${seconds} s: ${summary.reads} reads, ${summary.registered} registered, ${summary.deleted} deleted, ${summary.activations} activations, refused ${JSON.stringify(summary.refused)}; ${summary.violations.length} violations\n`,
    );
    report(summary.violations);
  }
} finally {
  await postgres?.stop();
  rmSync(root, { recursive: true, force: true });
}
