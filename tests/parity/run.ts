/**
 * `npm run parity -- --fixtures DIR`: compares the packages with every group of recorded values below DIR.
 * Closes with `N passed, N failed, N skipped`; exit code 1 when anything failed.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { Counter, type Group } from "./check.js";
import { groupKind } from "./group-kind.js";

const write = (line: string) => process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { fixtures: { type: "string" }, only: { type: "string" } } });
  const root = resolve(import.meta.dirname, "../..");
  const fixtures =
    values.fixtures === undefined
      ? join(process.env["SEG_SHARED"] ?? join(root, "../shared"), "fixtures")
      : // npm runs scripts in the package; the user's directory is what a relative path means.
        resolve(process.env["INIT_CWD"] ?? process.cwd(), values.fixtures);
  if (!existsSync(fixtures)) {
    write(`Fixture folder ${fixtures} does not exist. Pass --fixtures DIR.`);
    return 1;
  }
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const name of findGroups(fixtures)) {
    if (values.only !== undefined && !name.startsWith(values.only)) continue;
    const counter = await runGroup(name, join(fixtures, name));
    total.passed += counter.passed;
    total.failed += counter.failed;
    total.skipped += counter.skipped;
  }
  if (total.passed + total.failed + total.skipped === 0) {
    write(`No fixture group found below ${fixtures}.`);
    total.failed++;
  }
  write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed > 0 ? 1 : 0;
}

/** Folders below the fixture folder; the folder itself when it is a group. */
function findGroups(fixtures: string): string[] {
  const folders = readdirSync(fixtures)
    .filter((name) => !name.startsWith(".") && statSync(join(fixtures, name)).isDirectory())
    .sort();
  return groupKind("", readdirSync(fixtures)) === null ? folders : ["."];
}

async function runGroup(name: string, dir: string): Promise<Counter> {
  const counter = new Counter(name, write);
  const kind = groupKind(name, readdirSync(dir));
  const file = join(import.meta.dirname, "groups", `${kind}.ts`);
  if (kind === null) counter.skip("group", "unknown kind");
  else if (!existsSync(file)) counter.skip("group", `no comparison for ${kind} yet`);
  else {
    try {
      const group = (await import(pathToFileURL(file).href)) as Group;
      await group.run(dir, counter);
    } catch (error) {
      counter.ok("run", false, error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    write(`${name}: ${counter.passed} passed, ${counter.failed} failed, ${counter.skipped} skipped`);
  }
  return counter;
}

process.exitCode = await main();
