import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const repository = fileURLToPath(new URL("../../..", import.meta.url));
const document = readFileSync(join(repository, "docs/model-hub-coverage.md"), "utf8");
const rows = document
  .split("\n")
  .filter((line) => /^\| D\d /.test(line))
  .map((line) => line.split(" | ").map((cell) => cell.replace(/^\| | \|$/g, "")));

/** Every test file of the hub and of the command line by its last name. */
const files = new Map<string, string[]>();
for (const folder of ["packages/model-hub/src", "packages/model-hub/test", "packages/cli/src", "packages/cli/test"]) {
  for (const name of readdirSync(join(repository, folder), { recursive: true, encoding: "utf8" })) {
    if (!/\.test\.ts$|job-queue-conformance\.ts$/.test(name)) continue;
    files.set(basename(name), [
      ...(files.get(basename(name)) ?? []),
      readFileSync(join(repository, folder, name), "utf8"),
    ]);
  }
}

/** What a cell says of tests: `a.test.ts` "one", "two"; `b.test.ts`. An ellipsis stands for the rest of a name. */
function claimsOf(cell: string): { file: string; names: string[] }[] {
  const claims: { file: string; names: string[] }[] = [];
  for (const [, file, name] of cell.matchAll(/`([\w./-]+(?:\.test|-conformance)\.ts)`|"([^"]+)"/g)) {
    if (file !== undefined) claims.push({ file: basename(file), names: [] });
    else if (name !== undefined) claims.at(-1)?.names.push(name);
  }
  return claims;
}

test("the table has the lines of the specification's section 8, each answered", () => {
  expect(rows.length).toBe(84);
  for (const cells of rows) {
    expect(cells).toHaveLength(5);
    for (const cell of cells) expect(cell.trim()).not.toMatch(/^(open.*)?$/);
  }
});

test.each(rows.map((cells) => [cells[1]!, cells[4]!]))("the tests of %j exist", (_, cell) => {
  for (const { file, names } of claimsOf(cell)) {
    const texts = files.get(file);
    expect(texts, `${file} exists`).toBeDefined();
    for (const name of names) {
      const parts = name.split("…").filter((part) => part.trim() !== "");
      const isThere = texts!.some((text) => parts.every((part) => text.replaceAll('\\"', '"').includes(part.trim())));
      expect(isThere, `"${name}" is a test of ${file}`).toBe(true);
    }
  }
});
