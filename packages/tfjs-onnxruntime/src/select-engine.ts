import * as tf from "@tensorflow/tfjs";
import { EngineError } from "./errors.js";
import { nearestName } from "./nearest-name.js";

/** tfjs backends that model code of this project runs on. */
export type EngineName = "onnxruntime" | "tensorflow" | "cpu" | "wasm";

/** Packages that bring a backend, in order of preference; null: nothing to load. */
const packages: Readonly<Record<EngineName, readonly string[] | null>> = {
  onnxruntime: null,
  cpu: null,
  tensorflow: ["@tensorflow/tfjs-node-gpu", "@tensorflow/tfjs-node"],
  wasm: ["@tensorflow/tfjs-backend-wasm"],
};

const names = Object.keys(packages) as EngineName[];

function missingPeer(engine: EngineName, causes: readonly { name: string; error: Error }[]): EngineError {
  const reasons = causes.map(({ name, error }) => `${name}: ${error.message.split("\n")[0]}`).join("; ");
  const install =
    engine === "tensorflow"
      ? "npm install @tensorflow/tfjs-node@4.22.0, or, with CUDA 11.2 and cuDNN 8.1, npm install @tensorflow/tfjs-node-gpu@4.22.0 (both download a native library)"
      : "npm install @tensorflow/tfjs-backend-wasm@4.22.0";
  return new EngineError({
    code: "ENGINE_PEER_MISSING",
    message: `The engine "${engine}" could not be loaded (${reasons}).`,
    hint: `Install it: ${install}. Or unset SEG_ENGINE for the default, onnxruntime.`,
    cause: causes[0]?.error,
  });
}

/**
 * Activates the tfjs backend that model code runs on and waits until it is ready.
 *
 * @param options.engine - `onnxruntime` (this package), `tensorflow` (the user's `@tensorflow/tfjs-node-gpu` or `@tensorflow/tfjs-node`),
 *   `wasm` (the user's `@tensorflow/tfjs-backend-wasm`) or `cpu`. @defaultValue the environment variable `SEG_ENGINE`, else `onnxruntime`
 * @param options.load - imports a package by name. @defaultValue `import()`
 * @returns the engine that is active now
 * @throws {@link EngineError} `ENGINE_CONFIG` for an unknown name, `ENGINE_PEER_MISSING` with the install command; the active backend
 *   stays as it was
 * @example
 * await selectEngine(); // SEG_ENGINE=tensorflow node train.js
 */
export async function selectEngine({
  engine = process.env["SEG_ENGINE"] || "onnxruntime",
  load = (name) => import(name),
}: {
  engine?: string;
  load?: (name: string) => Promise<unknown>;
} = {}): Promise<EngineName> {
  const wanted = names.find((name) => name === engine);
  if (wanted === undefined) {
    throw new EngineError({
      code: "ENGINE_CONFIG",
      message: `There is no engine "${engine}".`,
      hint: `Did you mean "${nearestName(engine, names)}"? Known: ${names.join(", ")}.`,
    });
  }
  const candidates = packages[wanted];
  const causes: { name: string; error: Error }[] = [];
  for (const name of candidates ?? []) {
    try {
      await load(name);
      break;
    } catch (error) {
      causes.push({ name, error: error as Error });
    }
  }
  if (candidates !== null && causes.length === candidates.length) throw missingPeer(wanted, causes);
  const before = tf.engine().backendName;
  const ready = await tf.setBackend(wanted).catch((error: Error) => {
    causes.push({ name: wanted, error });
    return false;
  });
  if (!ready) {
    if (before) await tf.setBackend(before);
    throw missingPeer(wanted, causes);
  }
  return wanted;
}
