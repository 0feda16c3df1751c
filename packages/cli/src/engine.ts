import { configure, EngineError, engineInfo, selectEngine } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import type { OptionValues } from "./args.js";
import { CommandError, UsageError } from "./errors.js";

/**
 * Makes ONNX Runtime compute on a GPU, after trying it: CUDA, on Windows DirectML. There is no quiet way back to the processor.
 * @throws {@link CommandError} `cli/gpu-unavailable` with the reason and what to do; {@link UsageError} beside another engine
 */
function useGpu(deviceId: number): void {
  const engine = process.env["SEG_ENGINE"];
  if (engine !== undefined && engine !== "" && engine !== "onnxruntime") {
    throw new UsageError(
      `--gpu is for the engine onnxruntime, but SEG_ENGINE names ${engine}. Unset SEG_ENGINE, or leave --gpu out.`,
    );
  }
  const name = process.platform === "win32" ? "dml" : "cuda";
  try {
    configure({ executionProviders: [{ name, deviceId }, "cpu"], strict: true });
  } catch (error) {
    if (!(error instanceof EngineError) || error.code !== "ENGINE_PROVIDER") throw error;
    // "Execution provider ... (strict): OrtSession...: Failed to load shared library. Install ..."
    const reason = error.message.replace(/^Execution provider.*?: (?:Ort\w+: )?/, "");
    throw new CommandError({
      code: "cli/gpu-unavailable",
      message: `GPU ${deviceId} cannot be used: ${reason} Or leave --gpu out to compute on the processor.`,
    });
  }
}

/** Looks for the GPU that the options ask for, before anything is read or written. */
export function checkGpu(options: OptionValues): void {
  const gpu = options["gpu"] as number | undefined;
  if (gpu !== undefined) useGpu(gpu);
}

/**
 * Makes the tfjs backend active that `SEG_ENGINE` names: ONNX Runtime by default. `threads` undefined keeps the engine's default; the
 * other engines ignore it.
 */
export async function startEngine({
  threads,
}: {
  threads?: number | undefined;
} = {}): Promise<{ name: string; version: string; threads: number }> {
  // tfjs advertises its native package once per process; here it would be wrong advice.
  const { env } = tf;
  env().set("PROD", true);
  if (threads !== undefined) configure({ threads });
  const name = await selectEngine();
  if (name !== "onnxruntime") return { name: `tfjs ${name}`, version: tf.version_core, threads: 1 };
  const { version, threads: used } = engineInfo();
  return { name, version, threads: used };
}
