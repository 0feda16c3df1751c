import { createSession, type RawTensor, type Session } from "@seg/export/runtime";
import * as tf from "@tensorflow/tfjs";
import type { Student } from "./student.js";

/** Runs the deployed graph on batches of letterboxed images. */
export interface Predictor {
  /** @param images - `[batch, 3, imgsz, imgsz]` in 0..1 */
  run(images: Float32Array, batch: number, imgsz: number): Promise<{ output0: RawTensor; output1?: RawTensor }>;
  dispose(): Promise<void>;
}

/**
 * Predicts with an exported ONNX model (path or bytes) on onnxruntime, or with an open session of the same contract, which it then owns. The
 * model must accept the batch size that is used.
 */
export async function sessionPredictor(
  source: { model: string | Uint8Array; threads?: number } | { session: Session },
): Promise<Predictor> {
  const session = "session" in source ? source.session : await createSession({ threads: 1, ...source });
  return {
    async run(images, batch, imgsz) {
      const outputs = await session.run({ [session.inputNames[0]!]: { data: images, dims: [batch, 3, imgsz, imgsz] } });
      const output0 = outputs["output0"] ?? outputs[session.outputNames[0]!]!;
      const { output1 } = outputs as { output1?: RawTensor };
      return output1 ? { output0, output1 } : { output0 };
    },
    dispose: () => session.dispose(),
  };
}

/** Predicts with the student's current weights on the active tfjs backend; put it into inference mode first. */
export function studentPredictor(student: Student): Predictor {
  const read = async (tensor: tf.Tensor): Promise<RawTensor> => ({
    data: (await tensor.data()) as Float32Array,
    dims: tensor.shape,
  });
  return {
    async run(images, batch, imgsz) {
      const { output0, output1 } = tf.tidy(() => student.deploy(tf.tensor4d(images, [batch, 3, imgsz, imgsz])));
      try {
        return output1
          ? { output0: await read(output0), output1: await read(output1) }
          : { output0: await read(output0) };
      } finally {
        tf.dispose(output1 ? [output0, output1] : [output0]);
      }
    },
    dispose: async () => {},
  };
}
