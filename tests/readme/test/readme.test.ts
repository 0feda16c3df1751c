import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { format } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { EXAMPLES, writeExamples } from "../../../scripts/readme-examples.mjs";

// One process for all: the engine is loaded once.
const start = process.cwd();
const scratch = mkdtempSync(join(tmpdir(), "seg-readme-"));
beforeAll(() => process.chdir(scratch));
afterAll(() => {
  process.chdir(start);
  rmSync(scratch, { recursive: true, force: true });
});

/** Standard output of an example that runs in an empty folder. */
async function printed(name: string): Promise<string> {
  const lines: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((...words) => void lines.push(`${format(...words)}\n`));
  // Commands report progress there; it is not what a README shows.
  const progress = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  try {
    process.chdir(mkdtempSync(join(scratch, `${name}-`)));
    await import(join(EXAMPLES, `${name}.ts`));
  } finally {
    log.mockRestore();
    progress.mockRestore();
  }
  return lines.join("");
}

describe("the example of a README prints what stands below it", () => {
  // Seconds each; a busy machine may take minutes, and whoever waits learns more from what was printed than from a timeout.
  test.each(writeExamples())("$readme", { timeout: 600_000 }, async ({ name, output }) => {
    expect(await printed(name)).toBe(output);
  });
});
