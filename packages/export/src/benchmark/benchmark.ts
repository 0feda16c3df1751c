import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { CounterRandom } from "@seg/augment";
import { census, decodeModel, type Model } from "@seg/onnx";
import { parsePythonLiteral } from "../runtime/python-literal.js";
import { createSession, type Session } from "../runtime/session.js";
import { ACCURACY_LIMITS } from "../verify/accuracy-gate.js";
import type { Precision } from "../verify/parity.js";
import { type EnergyMeter, energyBetween, openEnergyMeter } from "./energy.js";
import { measurePeakRss } from "./peak-rss.js";
import { quantile, ratioEstimate } from "./statistics.js";

/** A model file to time. */
export interface BenchmarkArtefact {
  name: string;
  path: string;
  precision: Precision;
  /** How to run it, and what that is called. @defaultValue onnxruntime-node on the CPU */
  open?: (threads: number) => Promise<Session>;
  /** @defaultValue "onnxruntime-node cpu" */
  runtime?: string;
  /** On the given split; measured by the caller. */
  accuracy?: Accuracy;
}

/** Accuracy on one split, boxes or masks, whatever the caller compares. */
export interface Accuracy {
  readonly map50: number;
  /** mAP50-95. */
  readonly map: number;
}

/** A model that is shown beside the artefacts and not timed here, for example the teacher. */
export interface BenchmarkReference {
  readonly name: string;
  readonly bytes: number | null;
  readonly medianMs: number | null;
  readonly accuracy: Accuracy | null;
}

/** What to measure, on which images, for how long. */
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
  /** Largest loss of mAP50-95 against the baseline, by precision. @defaultValue 0.03 for int8, 0.005 for fp16 */
  accuracyLimits?: Partial<Readonly<Record<Precision, number>>>;
  /** @defaultValue none */
  references?: readonly BenchmarkReference[];
  /** Energy counters. @defaultValue RAPL, where readable */
  energyMeter?: EnergyMeter | null;
  signal?: AbortSignal;
  /** Of the input and the bootstrap. @defaultValue 0 */
  seed?: number;
}

/**
 * `optimised`: at least 1.05x faster (median of paired ratios) and the lower 95 % bootstrap bound above 1. `smaller-only`: below 0.9x of the
 * baseline's bytes without that speed. `not-optimised`: neither. `rejected`: loses more accuracy than its limit, whatever its speed.
 */
export type Verdict = "baseline" | "optimised" | "smaller-only" | "not-optimised" | "rejected";

/** One artefact measured: size, load time, latency (milliseconds, one image), memory, accuracy, verdict. */
export interface BenchmarkRow {
  artefact: string;
  precision: Precision;
  runtime: string;
  threads: number;
  bytes: number;
  gzipBytes: number;
  /** null for a file that is no ONNX model. */
  parameters: number | null;
  /** Median time to open the file, ms. */
  loadMs: number;
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
  /** Joules of the processor packages per run, the rest of the machine included; null when not measured. */
  joulesPerRun: number | null;
  accuracy: Accuracy | null;
  /** Loss of mAP50-95 against the baseline; null when either is unknown. */
  accuracyDrop: number | null;
  /** Hash of the calibration images, from the model's metadata; null for a float model. */
  calibrationSha256: string | null;
  fileSha256: string;
  verdict: Verdict;
  /** Likely reason of a speed-up that did not come. */
  note: string;
}

/** Content of `benchmark.json`: the machine, one row for each artefact, and what was not measured. */
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
  references: readonly BenchmarkReference[];
  /** Artefacts that could not be opened, and why. */
  unavailable: { artefact: string; reason: string }[];
  notMeasured: string[];
}

const LEAST_ROUNDS = 20;
/** Openings of each artefact whose median is the load time. */
const LOADS = 3;
const NOT_MEASURED = [
  "GPU power (NVML): nothing ran on a GPU.",
  "Image decoding, letterbox and mask assembly: the network alone is timed.",
  "Other devices: every number holds for the device named above.",
];

function judge({
  speedup,
  speedupLow,
  bytes,
  baselineBytes,
  isAccurate,
}: {
  isAccurate: boolean;
  speedup: number;
  speedupLow: number;
  bytes: number;
  baselineBytes: number;
}): Verdict {
  if (!isAccurate) return "rejected";
  if (speedup >= 1.05 && speedupLow > 1) return "optimised";
  return bytes < 0.9 * baselineBytes ? "smaller-only" : "not-optimised";
}

function noteFor(precision: Precision, speedup: number, verdict: Verdict): string {
  if (verdict === "optimised" || verdict === "baseline") return "";
  if (verdict === "rejected") return "Loses more accuracy than its limit; it must not be deployed.";
  if (precision === "int8") {
    return speedup < 1
      ? "Slower than the baseline: the CPU lacks VNNI/dot-product instructions, or the image is too small for the conversions to pay."
      : "No clear gain: small images and few channels leave little integer work per conversion.";
  }
  if (precision === "fp16") return "CPUs compute fp16 graphs in float32 with casts: only the file is smaller.";
  return "No clear difference between rounds.";
}

/** Opens an artefact several times; keeps the last session. */
async function load(
  { path, open = (count) => createSession({ model: path, threads: count }) }: BenchmarkArtefact,
  threads: number,
): Promise<{ session: Session; loadMs: number }> {
  const times: number[] = [];
  for (let i = 0; ; i++) {
    const start = performance.now();
    const session = await open(threads);
    times.push(performance.now() - start);
    if (i === LOADS - 1) return { session, loadMs: quantile(times, 0.5) };
    await session.dispose();
  }
}

/** Hash of the calibration images that quantisation wrote into the model. */
function calibrationHash({ metadataProps }: Model): string | null {
  const record = metadataProps.find(({ key }) => key === "quantization")?.value;
  const parsed = record === undefined ? null : parsePythonLiteral(record);
  const hash = parsed instanceof Map ? parsed.get("calibration_sha256") : null;
  return typeof hash === "string" ? hash : null;
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
    accuracyLimits = {},
    references = [],
    energyMeter = openEnergyMeter(),
    signal,
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
  const opened: {
    artefact: BenchmarkArtefact;
    session: Session;
    loadMs: number;
    times: number[];
    joules: number | null;
  }[] = [];
  const unavailable: BenchmarkReport["unavailable"] = [];
  try {
    for (const artefact of artefacts) {
      signal?.throwIfAborted();
      try {
        opened.push({ artefact, ...(await load(artefact, threads)), times: [], joules: null });
      } catch (error) {
        if (artefact.name === baseline) throw error;
        unavailable.push({ artefact: artefact.name, reason: error instanceof Error ? error.message : String(error) });
      }
    }
    const run = ({ session }: { session: Session }) => session.run({ [session.inputNames[0]!]: { data, dims } });
    for (const entry of opened) for (let n = 0; n < warmup; n++) await run(entry);
    for (let round = 0; round < rounds; round++) {
      signal?.throwIfAborted();
      for (let turn = 0; turn < opened.length; turn++) {
        const entry = opened[(round + turn) % opened.length]!;
        const start = performance.now();
        await run(entry);
        entry.times.push(performance.now() - start);
      }
    }
    if (energyMeter !== null) {
      // Counters tick about once a millisecond: whole blocks of runs, one artefact after the other.
      for (const entry of opened) {
        const before = energyMeter.read();
        for (let n = 0; n < rounds; n++) await run(entry);
        entry.joules = energyBetween(before, energyMeter.read(), energyMeter.wrapsAt) / rounds;
      }
    }
  } finally {
    for (const { session } of opened) await session.dispose();
  }
  const first = opened.find(({ artefact }) => artefact.name === baseline)!;
  const baselineBytes = (await readFile(first.artefact.path)).length;
  const rows: BenchmarkRow[] = [];
  for (const entry of opened) {
    const { artefact, times, loadMs, joules } = entry;
    const { name, path, precision, runtime = "onnxruntime-node cpu", accuracy = null, open } = artefact;
    const bytes = await readFile(path);
    const model = open === undefined ? decodeModel(bytes) : null;
    const ratio = ratioEstimate({ baseline: first.times, artefact: times, seed });
    const limit = accuracyLimits[precision] ?? ACCURACY_LIMITS[precision];
    const accuracyDrop = accuracy && first.artefact.accuracy ? first.artefact.accuracy.map - accuracy.map : null;
    const isAccurate = accuracyDrop === null || accuracyDrop <= limit;
    const verdict: Verdict =
      entry === first
        ? "baseline"
        : judge({ speedup: ratio.median, speedupLow: ratio.low, bytes: bytes.length, baselineBytes, isAccurate });
    const memory = measureMemory && model !== null;
    const inputName = model?.graph.inputs[0]?.name ?? "images";
    rows.push({
      artefact: name,
      precision,
      runtime,
      threads,
      bytes: bytes.length,
      gzipBytes: gzipSync(bytes).length,
      parameters: model === null ? null : census(model).parameters,
      loadMs,
      medianMs: quantile(times, 0.5),
      p95Ms: quantile(times, 0.95),
      minMs: Math.min(...times),
      fps: 1000 / quantile(times, 0.5),
      peakRssBytes: memory ? await measurePeakRss({ path: resolve(path), inputName, dims, threads }) : null,
      speedup: ratio.median,
      speedupLow: ratio.low,
      speedupHigh: ratio.high,
      joulesPerRun: joules,
      accuracy,
      accuracyDrop,
      calibrationSha256: model === null ? null : calibrationHash(model),
      fileSha256: createHash("sha256").update(bytes).digest("hex"),
      verdict,
      note: noteFor(precision, ratio.median, verdict),
    });
  }
  const notMeasured = [
    ...(energyMeter === null ? ["Processor power (RAPL): no readable counter on this machine."] : []),
    ...(rows.every(({ accuracy }) => accuracy === null)
      ? ["Accuracy: none was given; verdicts rest on speed and size."]
      : []),
    ...NOT_MEASURED,
    ...(measureMemory ? [] : ["Peak memory: switched off."]),
    ...rows.flatMap(({ artefact, runtime, peakRssBytes }) =>
      measureMemory && peakRssBytes === null ? [`Peak memory of ${artefact}: not for ${runtime}.`] : [],
    ),
    ...unavailable.map(({ artefact, reason }) => `${artefact}: ${reason}`),
  ];
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
    references,
    unavailable,
    notMeasured,
  };
}
