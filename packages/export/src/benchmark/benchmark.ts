import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { CounterRandom } from "@seg/augment";
import { census, decodeModel } from "@seg/onnx";
import { createSession, type Session } from "../runtime/session.js";
import type { Precision } from "../verify/parity.js";
import { measurePeakRss } from "./peak-rss.js";
import { quantile, ratioEstimate } from "./statistics.js";

/** A model file to time. */
export interface BenchmarkArtefact {
  name: string;
  path: string;
  precision: Precision;
}

export interface BenchmarkOptions {
  /** Side of the square input, or `[height, width]`, pixels. */
  imgsz: number | readonly [height: number, width: number];
  /** @defaultValue 1 */
  threads?: number;
  /** Interleaved rounds, at least 20. @defaultValue 20 */
  rounds?: number;
  /** Runs of each artefact before timing. @defaultValue 10 */
  warmup?: number;
  /** Name of the artefact that others are compared with. @defaultValue the first */
  baseline?: string;
  /** Starts a process per artefact to measure memory. @defaultValue true */
  measureMemory?: boolean;
  /** Of the input and the bootstrap. @defaultValue 0 */
  seed?: number;
}

/**
 * `optimised`: at least 1.05x faster (median of paired ratios) and the lower 95 % bootstrap bound above 1. `smaller-only`: below 0.9x of the
 * baseline's bytes without that speed. `not-optimised`: neither.
 */
export type Verdict = "baseline" | "optimised" | "smaller-only" | "not-optimised";

export interface BenchmarkRow {
  artefact: string;
  precision: Precision;
  runtime: string;
  threads: number;
  bytes: number;
  gzipBytes: number;
  parameters: number;
  medianMs: number;
  p95Ms: number;
  minMs: number;
  /** 1000 / medianMs. */
  fps: number;
  /** Of a process that holds only this model; null when not measured. */
  peakRssBytes: number | null;
  /** Median of baseline / artefact over rounds, and its two-sided 95 % bootstrap bounds. */
  speedup: number;
  speedupLow: number;
  speedupHigh: number;
  fileSha256: string;
  verdict: Verdict;
  /** Likely reason of a speed-up that did not come. */
  note: string;
}

export interface BenchmarkReport {
  version: 1;
  device: string;
  imgsz: readonly [height: number, width: number];
  threads: number;
  rounds: number;
  warmup: number;
  baseline: string;
  /** One-minute load average before and after; high values blur the times, the paired ratios less so. */
  loadAverage: readonly [before: number, after: number];
  rows: BenchmarkRow[];
  notMeasured: string[];
}

const LEAST_ROUNDS = 20;
const NOT_MEASURED = [
  "Power draw and energy per image: no meter on this machine.",
  "TFLite: no artefact or runtime in this run.",
  "TensorRT: no GPU in this run.",
  "Image decoding, letterbox and mask assembly: the network alone is timed.",
  "Other devices: every number holds for the device named above.",
];

function judge({
  speedup,
  speedupLow,
  bytes,
  baselineBytes,
}: {
  speedup: number;
  speedupLow: number;
  bytes: number;
  baselineBytes: number;
}): Verdict {
  if (speedup >= 1.05 && speedupLow > 1) return "optimised";
  return bytes < 0.9 * baselineBytes ? "smaller-only" : "not-optimised";
}

function noteFor(precision: Precision, speedup: number, verdict: Verdict): string {
  if (verdict === "optimised" || verdict === "baseline") return "";
  if (precision === "int8") {
    return speedup < 1
      ? "Slower than the baseline: the CPU lacks VNNI/dot-product instructions, or the image is too small for the conversions to pay."
      : "No clear gain: small images and few channels leave little integer work per conversion.";
  }
  if (precision === "fp16") return "CPUs compute fp16 graphs in float32 with casts: only the file is smaller.";
  return "No clear difference between rounds.";
}

/**
 * Times artefacts against a baseline: warm-up, then interleaved rounds whose order rotates, the same seeded input for all, a fixed number of
 * threads; the paired ratios of the rounds decide.
 *
 * @throws RangeError for fewer than 20 rounds, an unknown baseline, or no artefact
 */
export async function benchmark(
  artefacts: readonly BenchmarkArtefact[],
  {
    imgsz,
    threads = 1,
    rounds = LEAST_ROUNDS,
    warmup = 10,
    baseline = artefacts[0]?.name ?? "",
    measureMemory = true,
    seed = 0,
  }: BenchmarkOptions,
): Promise<BenchmarkReport> {
  if (rounds < LEAST_ROUNDS) throw new RangeError(`rounds is ${rounds}; fewer than ${LEAST_ROUNDS} decide nothing.`);
  const reference = artefacts.findIndex(({ name }) => name === baseline);
  if (reference < 0) {
    throw new RangeError(
      `Baseline "${baseline}" is not among ${artefacts.map(({ name }) => name).join(", ") || "no artefacts"}.`,
    );
  }
  const [height, width] = typeof imgsz === "number" ? [imgsz, imgsz] : imgsz;
  const dims = [1, 3, height, width];
  const random = new CounterRandom({ seed, path: "benchmark/input" });
  const data = Float32Array.from({ length: 3 * height * width }, () => random.uniform());
  const loadBefore = loadavg()[0]!;
  const sessions: Session[] = [];
  const times: number[][] = artefacts.map(() => []);
  try {
    for (const { path } of artefacts) sessions.push(await createSession({ model: path, threads }));
    const feeds = sessions.map((session) => ({ [session.inputNames[0]!]: { data, dims } }));
    for (const [i, session] of sessions.entries()) for (let n = 0; n < warmup; n++) await session.run(feeds[i]!);
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < sessions.length; turn++) {
        const i = (round + turn) % sessions.length;
        const start = performance.now();
        await sessions[i]!.run(feeds[i]!);
        times[i]!.push(performance.now() - start);
      }
    }
  } finally {
    for (const session of sessions) await session.dispose();
  }
  const rows: BenchmarkRow[] = [];
  const baselineBytes = (await readFile(artefacts[reference]!.path)).length;
  for (const [i, { name, path, precision }] of artefacts.entries()) {
    const bytes = await readFile(path);
    const model = decodeModel(bytes);
    const ratio = ratioEstimate({ baseline: times[reference]!, artefact: times[i]!, seed });
    const verdict: Verdict =
      i === reference
        ? "baseline"
        : judge({ speedup: ratio.median, speedupLow: ratio.low, bytes: bytes.length, baselineBytes });
    const inputName = model.graph.inputs[0]!.name;
    rows.push({
      artefact: name,
      precision,
      runtime: "onnxruntime-node cpu",
      threads,
      bytes: bytes.length,
      gzipBytes: gzipSync(bytes).length,
      parameters: census(model).parameters,
      medianMs: quantile(times[i]!, 0.5),
      p95Ms: quantile(times[i]!, 0.95),
      minMs: Math.min(...times[i]!),
      fps: 1000 / quantile(times[i]!, 0.5),
      peakRssBytes: measureMemory ? await measurePeakRss({ path: resolve(path), inputName, dims, threads }) : null,
      speedup: ratio.median,
      speedupLow: ratio.low,
      speedupHigh: ratio.high,
      fileSha256: createHash("sha256").update(bytes).digest("hex"),
      verdict,
      note: noteFor(precision, ratio.median, verdict),
    });
  }
  return {
    version: 1,
    device: `${cpus()[0]?.model ?? "unknown CPU"}, ${cpus().length} logical cores`,
    imgsz: [height, width],
    threads,
    rounds,
    warmup,
    baseline,
    loadAverage: [loadBefore, loadavg()[0]!],
    rows,
    notMeasured: [...NOT_MEASURED, ...(measureMemory ? [] : ["Peak memory: switched off."])],
  };
}
