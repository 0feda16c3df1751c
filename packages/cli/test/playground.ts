import { existsSync, readdirSync, statSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { createStudent } from "@seg/distill";
import { stateDict, writeSafetensors } from "@seg/nn";
import { expect } from "vitest";
import type { StudentRecord } from "../src/student-record.js";
import { runSeg, type SegRun } from "./run-seg.js";
import { type TinyDocument, writeTinyDataset } from "./tiny-dataset.js";

/** Length and time of change of every file below a folder. */
export function snapshot(folder: string): Record<string, string> {
  if (!existsSync(folder)) return {};
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [relative(folder, path), `${statSync(path).size} ${statSync(path).mtimeMs}`];
    }),
  );
}

/** The one line of an honest failure: a sentence, last on stderr, without a stack or a raw code. */
export function failure({ code, stderr }: SegRun, { exit = 1 }: { exit?: number } = {}): string {
  expect(code).toBe(exit);
  const lines = stderr.split("\n").filter((line) => line.startsWith("error: "));
  expect(lines).toHaveLength(1);
  const [line] = lines as [string];
  expect(stderr.endsWith(`${line}\n`)).toBe(true);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(line).not.toMatch(/undefined|\[object|null,|ENOENT|ENOTDIR|EISDIR|NaN|Unexpected|SEG_DEBUG/);
  expect(line).toMatch(/[.)?]$/);
  return line;
}

/** A run directory with a student of random weights, as `seg train-student` leaves one; `data` is relative to it. */
export async function writeStudent(directory: string, data: string): Promise<void> {
  const record: StudentRecord = {
    ...{
      version: 1,
      student: "yolov8p",
      imgsz: 64,
      seed: 0,
      epochs: 1,
      reason: "completed",
      decision: [],
      teacher: null,
    },
    classes: [
      { index: 0, categoryId: 3, name: "bar" },
      { index: 1, categoryId: 7, name: "square" },
    ],
    train: { data: `${data}/annotations.json`, images: `${data}/images` },
    val: null,
  };
  const { net, dispose } = createStudent(record.student, { classes: 2, imgsz: record.imgsz, seed: record.seed });
  await mkdir(join(directory, "weights"), { recursive: true });
  writeSafetensors(join(directory, "weights", "student.safetensors"), stateDict(net));
  dispose();
  await writeFile(join(directory, "student.json"), JSON.stringify(record));
}

/** A temporary folder with what tests of failures need in it. */
export async function createPlayground(): Promise<{
  readonly root: string;
  /** A path that does not exist yet. */
  fresh(): string;
  dataset(edit?: (document: TinyDocument) => void): ReturnType<typeof writeTinyDataset>;
  /** A micro training; `more` wins over what comes before it. */
  training(data: string, ...more: string[]): string[];
  /** Runs a command that must fail and proves that no file below `kept` (the whole folder) changed. */
  refuses(argv: readonly string[], options?: { exit?: number; kept?: string }): Promise<string>;
  remove(): Promise<void>;
}> {
  const root = await mkdtemp(join(tmpdir(), "seg-errors-"));
  let count = 0;
  const fresh = () => join(root, String(count++));
  return {
    root,
    fresh,
    dataset: (edit = () => {}) => writeTinyDataset(fresh(), { edit }),
    training: (data, ...more) => [
      ...["train-student", "--data", data, "--output", fresh(), "--student", "yolov8p", "--imgsz", "64"],
      ...["--epochs", "1", "--batch", "4", "--threads", "1", ...more],
    ],
    async refuses(argv, options = {}) {
      const kept = options.kept ?? root;
      const before = snapshot(kept);
      const line = failure(await runSeg(...argv), options);
      expect(snapshot(kept)).toEqual(before);
      return line;
    },
    remove: () => rm(root, { recursive: true, force: true }),
  };
}
