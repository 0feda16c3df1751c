import { configure, engineInfo } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";

/** Makes the ONNX Runtime backend active. `threads` undefined keeps the engine's default. */
export async function startEngine({
  threads,
}: {
  threads?: number | undefined;
} = {}): Promise<{ version: string; threads: number }> {
  // tfjs advertises its native package once per process; here it would be wrong advice.
  const { env } = tf;
  env().set("PROD", true);
  if (threads !== undefined) configure({ threads });
  await tf.setBackend("onnxruntime");
  const { version, threads: used } = engineInfo();
  return { version, threads: used };
}
