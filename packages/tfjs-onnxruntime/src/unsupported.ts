import * as tf from "@tensorflow/tfjs";
import { EngineError } from "./errors.js";
import { backendName } from "./kernels/define.js";

/** Every kernel that tfjs's cpu backend has and this one has not fails by name, with what to do. */
export function registerUnsupported(): void {
  const own = new Set(tf.getKernelsForBackend(backendName).map((k) => k.kernelName));
  for (const { kernelName } of tf.getKernelsForBackend("cpu")) {
    if (own.has(kernelName)) continue;
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs }) => {
        const shapes = Object.values(inputs ?? {}).map((t) => (t as tf.TensorInfo).shape);
        throw new EngineError({
          code: "ENGINE_UNSUPPORTED",
          op: kernelName,
          shapes,
          message:
            `Kernel ${kernelName} is not supported by the onnxruntime backend yet (inputs ${shapes.map((s) => `[${s}]`).join(", ")}). ` +
            `Run this part under tf.setBackend("cpu"), or rewrite it with the kernels of engineInfo().kernels.`,
        });
      },
    });
  }
}
