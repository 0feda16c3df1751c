import {
  buildTargets,
  createStudent,
  modelAnchors,
  type StudentId,
  type StudentTargets,
  studentLoss,
  targetArrays,
} from "@seg/distill";
import { engineInfo } from "@seg/tfjs-onnxruntime";
import {
  adamw,
  type BatchTensors,
  Ema,
  type LossFunction,
  paramGroups,
  residentKernels,
  TrainingManager,
} from "@seg/train";
import * as tf from "@tensorflow/tfjs";

/** A network in training with one batch that is shown again and again. */
export interface TrainingCase {
  /** A whole training step: forward, assignment, losses, backward, clipping, AdamW, EMA. */
  step(): Promise<void>;
  /** Wall time of the latest step outside of the runtime and the kernels of the update: tracing when nothing is compiled, binding when it is. */
  overheadMs(): number;
  dispose(): void;
}

/** Four boxes with square outlines per image: what the loss costs depends on their number, not on what they show. */
function batchOf(batch: number, size: number) {
  const samples = Array.from({ length: batch }, (_, b) => ({
    image: { width: size, height: size, data: new Uint8Array(0) },
    instances: Array.from({ length: 4 }, (_, k) => {
      const x = ((b * 13 + k * 37) % 60) + 4;
      const y = ((b * 29 + k * 23) % 60) + 4;
      const side = 24 + ((b + k) % 5) * 14;
      const box = [x, y, x + side, y + side] as const;
      const ring = Float64Array.of(x, y, x + side, y, x + side, y + side, x, y + side);
      return { classId: k % 3, box, polygons: [ring], matrix: [1, 0, 0, 0, 1, 0] as const };
    }),
  }));
  const pixels = Float32Array.from({ length: batch * size * size * 3 }, (_, i) => ((i * 7919) % 255) / 255);
  return { samples, pixels };
}

/**
 * A student of `@seg/distill` on the active backend.
 * @param shards - parts of the batch that are trained at once, a core each
 */
export function trainingCase({
  id,
  size,
  batch,
  shards = 1,
}: {
  id: StudentId;
  size: number;
  batch: number;
  shards?: number;
}): TrainingCase {
  const student = createStudent(id, { classes: 3, imgsz: size, seed: 0 });
  student.net.train();
  /** Time in norm, optimiser and average since it was last set to 0. */
  let hostMs = 0;
  const manager = new TrainingManager({
    model: student.net,
    optimizer: adamw({ weightDecay: 5e-4 }),
    groups: paramGroups(student.net),
    lr: 1e-4,
    clip: { maxNorm: 10 },
    ema: new Ema(student.net),
    shards,
    kernels(lengths) {
      const { allocate, ...kernels } = residentKernels(lengths);
      const timed = Object.entries(kernels).map(([name, kernel]) => {
        const work = kernel as (...operands: unknown[]) => unknown;
        return [
          name,
          (...operands: unknown[]) => {
            const start = performance.now();
            const result = work(...operands);
            hostMs += performance.now() - start;
            return result;
          },
        ];
      });
      return { ...(Object.fromEntries(timed) as typeof kernels), allocate };
    },
  });
  const { samples, pixels } = batchOf(batch, size);
  const anchors = modelAnchors(size, size);
  let loss: LossFunction | undefined;
  let overhead = 0;
  return {
    overheadMs: () => overhead,
    async step() {
      const images = tf.tensor4d(pixels, [batch, size, size, 3]);
      const { positives, ...targets } = buildTargets(
        targetArrays({ samples, size, parts: { segment: student.segment } }),
      );
      // The same function with every step: it is compiled once.
      loss ??= ({ images, ...tensors }) => {
        const { total, parts } = studentLoss({
          outputs: student.forward(images as tf.Tensor4D),
          targets: { ...tensors, positives } as unknown as StudentTargets,
          anchors,
          size: [size, size],
        });
        return { total, parts: parts as Record<string, tf.Scalar> };
      };
      const inputs: BatchTensors = { images, ...targets };
      const { runMs } = engineInfo();
      const start = performance.now();
      hostMs = 0;
      await manager.step(loss, inputs);
      overhead = performance.now() - start - (engineInfo().runMs - runMs) - hostMs;
      tf.dispose({ ...inputs });
    },
    dispose() {
      tf.dispose([anchors.centers, anchors.strides]);
      student.dispose();
    },
  };
}
