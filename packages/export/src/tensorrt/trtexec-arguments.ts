import { ExportError } from "../errors.js";
import { formatTrtVersion, type TrtVersion } from "./trtexec-log.js";

/** `int8` needs the QDQ variant for TensorRT; `fp16` from TensorRT 11 on needs a float16 model. */
export type TrtPrecision = "fp32" | "fp16" | "int8";

/** How an engine is built. Options that this version of TensorRT does not know are errors. */
export interface TrtBuildOptions {
  precision: TrtPrecision;
  /** Types exactly as in the model, without precision flags; TensorRT 10 on, and always from 11 on. @defaultValue false */
  stronglyTyped?: boolean;
  /** Scratch memory for tactics, MB. @defaultValue 4096 */
  workspaceMb?: number;
  /** Batch sizes of a model whose batch is dynamic. */
  dynamicBatch?: { min: number; opt: number; max: number };
  /** `[height, width]`, needed with `dynamicBatch`. */
  imgsz?: readonly [height: number, width: number];
  timingCache?: string;
  /** 0 (fast build) to 5 (fast engine); TensorRT 8.6 on. */
  builderOptimizationLevel?: 0 | 1 | 2 | 3 | 4 | 5;
  /** Build only; no latency is measured. @defaultValue false */
  skipInference?: boolean;
  useCudaGraph?: boolean;
  /** Layer times and layer information, as JSON files. */
  profile?: { times: string; layers: string };
  /** Runs on later TensorRT versions; 8.6 on. */
  versionCompatible?: boolean;
  /** Runs on other GPUs of the Ampere generation and later; 8.6 on. */
  hardwareCompatible?: boolean;
  /** Deep learning accelerator of Jetson; what it cannot run falls back to the GPU. */
  dlaCore?: number;
}

function refuse(option: string, message: string): ExportError {
  return new ExportError({ code: "QUANT_CONFIG", message, details: { option } });
}

/** This release builds wrong INT8 engines. */
const BROKEN = "10.2.0";

const isAtLeast = (version: TrtVersion, major: number, minor: number): boolean =>
  version.major > major || (version.major === major && version.minor >= minor);

function precisionFlags(version: TrtVersion, { precision, stronglyTyped = false }: TrtBuildOptions): string[] {
  const name = formatTrtVersion(version);
  if (version.major >= 11) return []; // always strongly typed, precision flags are gone
  if (stronglyTyped) {
    if (version.major < 10) throw refuse("stronglyTyped", `TensorRT ${name} has no --stronglyTyped; it came with 10.`);
    return ["--stronglyTyped"];
  }
  if (precision === "fp32") return [];
  if (precision === "fp16") return ["--fp16"];
  return ["--int8", "--fp16"];
}

/**
 * Arguments of `trtexec` for one version of TensorRT.
 *
 * @throws ExportError `QUANT_CONFIG` naming an option that the version does not have, or a release that builds wrong engines
 * @example trtexecArguments({ version: { major: 10, minor: 5, patch: 0 }, onnx: "m.onnx", engine: "m.engine", options: { precision: "fp16" } })
 * // ["--onnx=m.onnx", "--saveEngine=m.engine", "--fp16", "--memPoolSize=workspace:4096"]
 */
export function trtexecArguments({
  version,
  onnx,
  engine,
  options,
}: {
  version: TrtVersion;
  onnx: string;
  engine: string;
  options: TrtBuildOptions;
}): string[] {
  const name = formatTrtVersion(version);
  if (name === BROKEN) {
    throw refuse("trtexec", `TensorRT ${BROKEN} is known to build wrong engines. Install another release.`);
  }
  const needs = (option: string, major: number, minor: number): void => {
    if (isAtLeast(version, major, minor)) return;
    throw refuse(option, `${option} needs TensorRT ${major}.${minor}, this is ${name}. Leave it out or update.`);
  };
  const workspace = options.workspaceMb ?? 4096;
  const args = [`--onnx=${onnx}`, `--saveEngine=${engine}`, ...precisionFlags(version, options)];
  args.push(isAtLeast(version, 8, 4) ? `--memPoolSize=workspace:${workspace}` : `--workspace=${workspace}`);
  if (options.dynamicBatch !== undefined) {
    if (options.imgsz === undefined) throw refuse("imgsz", "dynamicBatch needs imgsz, the size of the images.");
    const [height, width] = options.imgsz;
    for (const [which, batch] of Object.entries(options.dynamicBatch)) {
      args.push(`--${which}Shapes=images:${batch}x3x${height}x${width}`);
    }
  }
  if (options.timingCache !== undefined) args.push(`--timingCacheFile=${options.timingCache}`);
  if (options.builderOptimizationLevel !== undefined) {
    needs("builderOptimizationLevel", 8, 6);
    args.push(`--builderOptimizationLevel=${options.builderOptimizationLevel}`);
  }
  if (options.skipInference === true) args.push(isAtLeast(version, 8, 6) ? "--skipInference" : "--buildOnly");
  if (options.useCudaGraph === true) args.push("--useCudaGraph");
  if (options.profile !== undefined) {
    args.push("--profilingVerbosity=detailed", "--separateProfileRun");
    args.push(`--exportProfile=${options.profile.times}`, `--exportLayerInfo=${options.profile.layers}`);
  }
  if (options.versionCompatible === true) {
    needs("versionCompatible", 8, 6);
    args.push("--versionCompatible");
  }
  if (options.hardwareCompatible === true) {
    needs("hardwareCompatible", 8, 6);
    args.push("--hardwareCompatibilityLevel=ampere+");
  }
  if (options.dlaCore !== undefined) args.push(`--useDLACore=${options.dlaCore}`, "--allowGPUFallback");
  return args;
}
