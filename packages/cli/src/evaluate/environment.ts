import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { arch, availableParallelism, cpus, platform, release, totalmem } from "node:os";
import process from "node:process";
import type { BenchmarkReport } from "@seg/export";
import { formatBytes } from "@seg/train/charts";
import type { ReportData } from "../report/report-data.js";
import type { StudentRecord } from "../student-record.js";

/** Machine, software, threads, seeds and data behind the numbers of a report. */
export function environmentOf({
  engine,
  bench,
  record,
  splitSeed,
  data,
}: {
  engine: { readonly name: string; readonly version: string; readonly threads: number };
  bench: BenchmarkReport;
  record: StudentRecord;
  splitSeed: number | null;
  /** The evaluated split. */
  data: string;
}): ReportData["environment"] {
  const seeds = [`training ${record.seed}`, ...(splitSeed === null ? [] : [`split ${splitSeed}`])];
  return {
    processor: `${cpus()[0]?.model.trim() ?? "unknown"}, ${availableParallelism()} logical cores`,
    "memory of the machine": formatBytes(totalmem()),
    "operating system": `${platform()} ${release()} ${arch()}`,
    node: process.version,
    runtime: `${engine.name} ${engine.version}`,
    "threads (evaluation)": String(engine.threads),
    "threads (timing)": String(bench.threads),
    "timing rounds": `${bench.rounds} interleaved, after ${bench.warmup} of warm-up`,
    "load average (before, after timing)": bench.loadAverage.map((v) => v.toFixed(2)).join(", "),
    "input of the student": bench.imgsz.join(" × "),
    seeds: seeds.join(", "),
    "SHA-256 of the split": createHash("sha256").update(readFileSync(data)).digest("hex"),
  };
}
