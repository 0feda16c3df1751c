import { existsSync, readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import type { CocoDataset } from "@seg/coco-dataset";
import { createClassMapping } from "@seg/coco-dataset";
import { clearCache, engineInfo } from "@seg/tfjs-onnxruntime";
import { adamw, autoBatch, type LossFunction, paramGroups, TrainingManager } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { modelAnchors } from "./anchors.js";
import { type StudentTargets, studentLoss } from "./losses/student-loss.js";
import { createStudent } from "./student.js";
import { buildTargets, targetArrays } from "./targets.js";
import type { TrainStudentConfig } from "./train-config.js";

/** Share of the machine's memory that a step may take: pictures, evaluation and the rest of the machine need theirs. */
const SHARE = 0.4;
/** Objects per image of the measured step. */
const OBJECTS = 8;

/** Bytes that one training step of a student keeps, as the engine estimates its session; weights and optimiser are the same at any batch. */
async function stepBytes(
  { student: id, imgsz = 640 }: Pick<TrainStudentConfig, "student" | "imgsz">,
  classes: number,
  batch: number,
): Promise<number> {
  const student = createStudent(id, { classes, imgsz });
  const anchors = modelAnchors(imgsz, imgsz);
  student.net.train();
  try {
    const training = new TrainingManager({
      model: student.net,
      optimizer: adamw(),
      groups: paramGroups(student.net),
      lr: 0,
    });
    const square = Float64Array.of(8, 8, 24, 8, 24, 24, 8, 24);
    const instances = Array.from({ length: OBJECTS }, () => ({
      classId: 0,
      box: [8, 8, 24, 24] as const,
      ...(student.segment ? { polygons: [square] } : {}),
    }));
    const samples = Array.from({ length: batch }, () => ({ instances }));
    const arrays = targetArrays({ samples, size: imgsz, parts: { segment: student.segment } });
    const { positives, ...targets } = buildTargets(arrays);
    const inputs = { images: tf.zeros([batch, imgsz, imgsz, 3]), ...targets };
    const loss: LossFunction = ({ images, ...tensors }) => {
      const { total, parts } = studentLoss({
        outputs: student.forward(images as tf.Tensor4D),
        targets: { ...tensors, positives } as unknown as StudentTargets,
        anchors,
        size: [imgsz, imgsz],
      });
      return { total, parts: parts as Record<string, tf.Scalar> };
    };
    // An older session that gave way to this one would count as memory that the step does not need.
    clearCache();
    await training.step(loss, inputs);
    tf.dispose({ ...inputs });
    return engineInfo().sessionBytes;
  } finally {
    tf.dispose([anchors.centers, anchors.strides]);
    student.dispose();
  }
}

/**
 * Batch for `batch: "auto"`: that of `args.yaml` when a run is resumed, else the largest power of two, at most 64 and not above the number of images, whose
 * step fits into 40 % of the memory of this machine. The engine `onnxruntime` must be active; costs two steps.
 */
export async function autoStudentBatch({
  directory,
  resume = false,
  dataset,
  budgetBytes = SHARE * totalmem(),
  ...student
}: Pick<TrainStudentConfig, "student" | "imgsz" | "directory" | "resume"> & {
  readonly dataset: CocoDataset;
  /** @defaultValue 40 % of the memory of the machine */
  readonly budgetBytes?: number;
}): Promise<number> {
  const args = join(directory, "args.yaml");
  // A resumed run must have the batch it had, also on a larger machine.
  const known = resume && existsSync(args) ? /^batch: (\d+)$/m.exec(readFileSync(args, "utf8"))?.[1] : undefined;
  if (known !== undefined) return Number(known);
  const classes = createClassMapping(dataset).classes.length;
  const { batch } = await autoBatch({ bytesOf: (count) => stepBytes(student, classes, count), budgetBytes });
  return Math.min(batch, dataset.images.length);
}
