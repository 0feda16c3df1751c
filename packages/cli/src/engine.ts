import { configure, engineInfo, selectEngine } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";

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
