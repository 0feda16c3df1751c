import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile, rename, rm } from "node:fs/promises";
import { writeFileAtomic } from "@seg/nn";
import { loadModel } from "@seg/onnx";
import { ExportError } from "../errors.js";
import { jsonMetadata } from "../tflite/tflite-metadata.js";
import { writeJson } from "../write-text.js";
import { assertTrtModel } from "./assert-trt-model.js";
import { findTrtexec } from "./find-trtexec.js";
import { type GpuPowerMeter, meterGpuPower } from "./gpu-power.js";
import { type TrtBuildOptions, trtexecArguments } from "./trtexec-arguments.js";
import { formatTrtVersion, parseTrtexecLog, parseTrtVersion, type TrtVersion } from "./trtexec-log.js";

/** What `trtexec` builds, from which file, into which. */
export interface BuildTensorRtOptions extends TrtBuildOptions {
  /** Where the engine goes; the sidecar is `{engine}.json`. */
  engine: string;
  /** Path of `trtexec`. @defaultValue see `findTrtexec` */
  trtexec?: string;
  /** Path of `nvidia-smi`, which is asked for driver and power. @defaultValue "nvidia-smi" */
  nvidiaSmi?: string;
  /** @defaultValue process.env */
  env?: Readonly<Record<string, string | undefined>>;
  /** Prepends the length (4 bytes, little-endian) and the metadata as JSON, as loaders of the YOLO family want it; trtexec, Triton and DeepStream reject such files. @defaultValue false */
  ultralyticsHeader?: boolean;
  /** Ends the build. */
  signal?: AbortSignal;
}

/** An engine, what it is bound to, and what was measured while it was built. */
export interface TensorRtEngine {
  version: 1;
  engine: string;
  bytes: number;
  engineSha256: string;
  onnxSha256: string;
  precision: TrtBuildOptions["precision"];
  tensorRt: string;
  /** An engine runs on this GPU architecture only; null where trtexec did not say. */
  device: string | null;
  computeCapability: string | null;
  driver: string | null;
  /** Median GPU time of one inference; null when it was not measured. */
  medianMs: number | null;
  throughput: number | null;
  /** Mean power of the GPU while trtexec measured, by NVML; null where nothing reports it. */
  powerWatts: number | null;
  command: readonly string[];
  metadata: Readonly<Record<string, unknown>>;
}

/** Lines of the log that an error carries. */
const LOG_LINES = 50;
/** Version whose flags the instruction shows when no trtexec is there to ask. */
const CURRENT: TrtVersion = { major: 10, minor: 5, patch: 0 };

interface Finished {
  code: number | null;
  log: string;
}

/** @param onOutput - called with the whole log whenever it grew */
function run(
  command: string,
  args: readonly string[],
  signal?: AbortSignal,
  onOutput?: (log: string) => void,
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...(signal ? { signal } : {}) });
    let log = "";
    const append = (text: string): void => {
      log += text;
      onOutput?.(log);
    };
    child.stdout.setEncoding("utf8").on("data", append);
    child.stderr.setEncoding("utf8").on("data", append);
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, log }));
  });
}

function failed(what: string, { code, log }: Finished): ExportError {
  const lines = log.trimEnd().split("\n").slice(-LOG_LINES);
  const reason = lines.findLast((line) => /\[E\]|error/i.test(line)) ?? lines.at(-1) ?? "no output";
  return new ExportError({
    code: "TRTEXEC_FAILED",
    message: `${what} ended with exit code ${code}: ${reason.trim()}. The last ${lines.length} lines are in details.log.`,
    details: { exitCode: code, log: lines },
  });
}

/** One place by name; the folders of PATH, of which there are many, by their number. `details.searched` has them all. */
function describeSearch(searched: readonly string[]): string {
  if (searched.length === 1) return `${searched[0]} is no executable file`;
  return `TRTEXEC is not set, and it is in none of ${searched.length} places (PATH, /usr/src/tensorrt/bin, $TRT_ROOT/bin)`;
}

/** Driver of the first GPU; null without nvidia-smi. */
async function driverVersion(command: string, signal?: AbortSignal): Promise<string | null> {
  const query = ["--query-gpu=driver_version", "--format=csv,noheader"];
  try {
    const { code, log } = await run(command, query, signal);
    return code === 0 ? (log.split("\n")[0]?.trim() ?? null) : null;
  } catch {
    signal?.throwIfAborted();
    return null;
  }
}

/**
 * Builds a TensorRT engine by `trtexec` and writes `{engine}.json` beside it. The engine is bound to GPU architecture and TensorRT version, which the
 * sidecar records. It appears whole or not at all.
 *
 * @param onnx - path: the float model for `fp32` and `fp16`, the QDQ variant for TensorRT for `int8`
 * @throws ExportError `TRTEXEC_NOT_FOUND` with the places that were searched and the command to run on the target; `TRTEXEC_FAILED` with the last 50
 * lines of the log; `QUANT_CONFIG` for a model or an option that does not fit
 */
export async function buildTensorRt(
  onnx: string,
  {
    engine,
    trtexec,
    env,
    nvidiaSmi = "nvidia-smi",
    ultralyticsHeader = false,
    signal,
    ...options
  }: BuildTensorRtOptions,
): Promise<TensorRtEngine> {
  signal?.throwIfAborted();
  const model = await loadModel(onnx);
  const { path, searched } = findTrtexec({ trtexec, ...(env ? { env } : {}) });
  if (path === null) {
    assertTrtModel(model, { ...options, isStronglyTyped: options.stronglyTyped === true });
    const command = ["trtexec", ...trtexecArguments({ version: CURRENT, onnx, engine, options })].join(" ");
    throw new ExportError({
      code: "TRTEXEC_NOT_FOUND",
      message:
        `trtexec was not found: ${describeSearch(searched)}. Engines are bound to the GPU: copy ${onnx} to the target, install TensorRT there ` +
        `and run: ${command}`,
      details: { searched, command },
    });
  }
  const help = await run(path, ["--help"], signal);
  const version = parseTrtVersion(help.log);
  if (version === null) throw failed(`${path} --help shows no TensorRT version; it`, help);
  assertTrtModel(model, { ...options, isStronglyTyped: options.stronglyTyped === true || version.major >= 11 });
  const partial = `${engine}.partial`;
  let meter: GpuPowerMeter | undefined;
  const args = trtexecArguments({ version, onnx, engine: partial, options });
  try {
    // Building draws other power than inference, which begins with this line.
    const finished = await run(path, args, signal, (log) => {
      if (meter === undefined && log.includes("Starting inference")) meter = meterGpuPower(nvidiaSmi);
    });
    const powerWatts = (await meter?.stop()) ?? null;
    if (finished.code !== 0) throw failed(`${path} ${args.join(" ")}`, finished);
    const plan = await readFile(partial).catch(() => {
      throw failed(`${path} wrote no engine and`, finished);
    });
    const metadata = jsonMetadata(model.metadataProps);
    const bytes = ultralyticsHeader ? withHeader(plan, metadata) : plan;
    if (ultralyticsHeader) writeFileAtomic(engine, [bytes]);
    else await rename(partial, engine);
    const { medianMs, throughput, device, computeCapability } = parseTrtexecLog(finished.log);
    const sha256 = (content: Uint8Array): string => createHash("sha256").update(content).digest("hex");
    const record: TensorRtEngine = {
      version: 1,
      engine,
      bytes: bytes.length,
      engineSha256: sha256(bytes),
      onnxSha256: sha256(await readFile(onnx)),
      precision: options.precision,
      tensorRt: formatTrtVersion(version),
      device,
      computeCapability,
      driver: await driverVersion(nvidiaSmi, signal),
      medianMs,
      throughput,
      powerWatts,
      command: [path, ...trtexecArguments({ version, onnx, engine, options })],
      metadata,
    };
    writeJson(`${engine}.json`, record);
    return record;
  } finally {
    await meter?.stop();
    await rm(partial, { force: true });
  }
}

function withHeader(plan: Uint8Array, metadata: Readonly<Record<string, unknown>>): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(metadata));
  const bytes = new Uint8Array(4 + json.length + plan.length);
  new DataView(bytes.buffer).setUint32(0, json.length, true);
  bytes.set(json, 4);
  bytes.set(plan, 4 + json.length);
  return bytes;
}
