import { execFile } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { expect, test, vi } from "vitest";

// Two trainings in processes of their own, on a busy machine of two cores; nothing here waits for time to pass.
vi.setConfig({ testTimeout: 600_000 });

test("uploads, trains twice, compares, activates, predicts and goes back", async () => {
  const argv = ["--conditions=@seg/source", "--import", "tsx", join(import.meta.dirname, "main.ts"), "--smoke"];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, argv);
  const of = (word: string) =>
    stdout
      .split("\n")
      .filter((line) => line.startsWith(word))
      .map((line) => line.slice(word.length).trim());
  expect(of("uploaded")[0]).toMatch(/^bench: 12 pictures, \d+ objects$/);
  const [first, second, ...rest] = of("trained").map((line) => line.split(":")[0]!);
  expect(rest).toEqual([]);
  expect(second).not.toBe(first);
  // Events arrived while the second was trained, and the two were measured on the same pictures.
  expect(of("progress").length).toBeGreaterThan(0);
  expect(of("compared")[0]).toMatch(/^map50 +\d\.\d{3} -> \d\.\d{3}$/);
  expect(of("predicted").map((line) => line.split(" ")[1])).toEqual([second, first]);
  expect(of("history")).toEqual([
    `none -> ${first}: there was none`,
    `${first} -> ${second}: longer run`,
    `${second} -> ${first}: shown in an example`,
  ]);
  // A token opens the hub and is shown to nobody.
  expect(stdout + stderr).not.toContain("segh_");
});
