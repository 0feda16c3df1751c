import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { JsonObject } from "./config.js";
import { appendDurably, removeStaleTemporaries, type WriteFileSystem, writeFileDurably } from "./durable-file.js";
import { type EpochRecord, type ResultTerms, resultsColumns, resultsRow } from "./results-csv.js";
import { toYaml } from "./yaml.js";

/**
 * The directory of one run: `args.yaml`, `results.csv`, `metrics.jsonl`, and the places of the other files. Every write is durable when
 * the call returns; an append that a crash cut short is removed by {@link RunDirectory.truncateAfter}.
 */
export class RunDirectory {
  readonly path: string;
  /** Replaces the file operations of writes. */
  readonly fs: WriteFileSystem | undefined;
  #columns: readonly string[] | null = null;

  constructor(path: string, { fs }: { fs?: WriteFileSystem } = {}) {
    this.path = path;
    this.fs = fs;
    mkdirSync(path, { recursive: true });
    removeStaleTemporaries(path);
  }

  /**
   * Makes a new run directory; an existing one that holds files gives the next free numeric suffix (`exp`, `exp2`, `exp3`).
   * @param existOk - use `path` as it is
   */
  static create(path: string, { existOk = false, fs }: { existOk?: boolean; fs?: WriteFileSystem } = {}): RunDirectory {
    let candidate = path;
    for (let i = 2; !existOk && existsSync(candidate) && readdirSync(candidate).length > 0; i++)
      candidate = `${path}${i}`;
    return new RunDirectory(candidate, fs ? { fs } : {});
  }

  /** Absolute or relative path of a file of this run. */
  file(...names: string[]): string {
    return join(this.path, ...names);
  }

  /** Writes a whole file atomically. */
  write(name: string, content: string | Uint8Array): void {
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    writeFileDurably(this.file(name), bytes, this.fs ? { fs: this.fs } : {});
  }

  /** Writes `args.yaml`. */
  writeArgs(args: JsonObject): void {
    this.write("args.yaml", toYaml(args));
  }

  /** Writes an indented JSON file, for example `decisions.json`. */
  writeJson(name: string, value: JsonObject): void {
    this.write(name, `${JSON.stringify(value, null, 2)}\n`);
  }

  /** Fixes the columns: those of an existing `results.csv`, else those of `terms`, whose header is written. */
  openResults(terms: ResultTerms): readonly string[] {
    const path = this.file("results.csv");
    const [header = "", rest] = existsSync(path) ? readFileSync(path, "utf8").split("\n", 2) : [];
    if (header !== "" && rest !== undefined) {
      this.#columns = header.split(",");
    } else {
      this.#columns = resultsColumns(terms);
      this.write("results.csv", `${this.#columns.join(",")}\n`);
    }
    return this.#columns;
  }

  /** Appends one epoch to `metrics.jsonl` (full precision) and `results.csv`. {@link RunDirectory.openResults} comes first. */
  append(record: EpochRecord): void {
    if (this.#columns === null) throw new RangeError("RunDirectory.append() needs openResults() first.");
    const { epoch, step, time, train, metrics, lr, gradNorm } = record;
    const line = JSON.stringify({ epoch, step, time, train, metrics, lr, grad_norm: gradNorm });
    appendDurably(this.file("metrics.jsonl"), `${line}\n`, this.fs);
    appendDurably(this.file("results.csv"), `${resultsRow(this.#columns, record)}\n`, this.fs);
  }

  /**
   * Removes rows after `epoch` and an incomplete last line from both logs.
   * @returns the time of the last row that stays, in seconds; 0 without rows
   */
  truncateAfter(epoch: number): number {
    let time = 0;
    this.#keepLines("metrics.jsonl", (line) => {
      const row = JSON.parse(line) as { epoch: number; time: number };
      if (row.epoch > epoch) return false;
      time = row.time;
      return true;
    });
    this.#keepLines("results.csv", (line) => line.startsWith("epoch,") || Number.parseInt(line, 10) <= epoch);
    return time;
  }

  #keepLines(name: string, keep: (line: string) => boolean): void {
    if (!existsSync(this.file(name))) return;
    const text = readFileSync(this.file(name), "utf8");
    // Whatever follows the last line end was cut short.
    const kept = text
      .split("\n")
      .slice(0, -1)
      .filter(keep)
      .map((line) => `${line}\n`)
      .join("");
    if (kept !== text) this.write(name, kept);
  }
}
