import {
  createYolov8,
  deployForward,
  headTensors,
  loadStateDict,
  readSafetensors,
  type StateDict,
  type Yolov8,
  type Yolov8ScaleName,
} from "@seg/nn";
import type * as tf from "@tensorflow/tfjs";
import { ConfigError } from "./errors.js";
import type { StudentOutputs } from "./losses/student-loss.js";
import { isMaskStudent, STUDENT_IDS, type StudentId } from "./select-student.js";

/** Prompt-free network: image in, boxes, classes and masks out. */
export interface Student {
  readonly id: StudentId;
  readonly classes: number;
  /** Side of the square input in pixels, a multiple of 32. */
  readonly imgsz: number;
  readonly segment: boolean;
  readonly net: Yolov8;
  /** Raw head tensors for the losses. `images` [B, H, W, 3] RGB in 0..1. */
  forward(images: tf.Tensor4D): StudentOutputs;
  /** The deployed graph. `images` [B, 3, H, W] RGB in 0..1; see `deployForward` of @seg/nn. */
  deploy(images: tf.Tensor4D): { output0: tf.Tensor3D; output1?: tf.Tensor4D };
  dispose(): void;
}

/** fastsam-s was published at 1024 px. */
const DEFAULT_SIZE = { "fastsam-s": 1024 } as const;

/**
 * Builds a student with initial values drawn from `seed`.
 *
 * @param classes - number of classes, at least 1
 * @param imgsz - input side in pixels, a multiple of 32; 640, for fastsam-s 1024, by default
 * @param momentum - of batch normalisation @defaultValue 0.03
 * @throws ConfigError on an unknown id or an input side that is no multiple of 32
 */
export function createStudent(
  id: StudentId,
  {
    classes,
    imgsz,
    seed = 0,
    regMax = 16,
    momentum = 0.03,
  }: { classes: number; imgsz?: number; seed?: number; regMax?: number; momentum?: number },
): Student {
  if (!STUDENT_IDS.includes(id))
    throw new ConfigError({ field: "student", expected: `one of ${STUDENT_IDS.join(", ")}`, actual: id });
  const size = imgsz ?? DEFAULT_SIZE[id as keyof typeof DEFAULT_SIZE] ?? 640;
  if (!Number.isInteger(size) || size < 32 || size % 32 !== 0) {
    throw new ConfigError({ field: "imgsz", expected: "a positive multiple of 32", actual: size });
  }
  const scale = (id === "fastsam-s" ? "s" : id.charAt("yolov8".length)) as Yolov8ScaleName;
  const segment = isMaskStudent(id);
  const net = createYolov8({ scale, classes, segment, seed, regMax, momentum });
  return {
    id,
    classes,
    imgsz: size,
    segment,
    net,
    forward(images) {
      const output = net.forward(images);
      const heads = headTensors(output);
      return output.proto ? { ...heads, proto: output.proto } : heads;
    },
    deploy: (images) => deployForward(net, images),
    dispose: () => net.dispose(),
  };
}

/** What {@link loadWeights} did. */
export interface WeightReport {
  readonly transferred: number;
  readonly total: number;
  /** Keys left at their initial values: absent from the file or of another shape. */
  readonly skipped: readonly string[];
}

/**
 * Loads the tensors whose names and shapes agree; with other classes the last layers stay as initialised.
 *
 * @param weights - a `.safetensors` file or a state dict
 * @param strict - throw unless every tensor fits @defaultValue false
 * @throws ConfigError for a pickled `.pt` / `.pth`
 */
export function loadWeights(
  student: Pick<Student, "net">,
  weights: string | StateDict,
  { strict = false }: { strict?: boolean } = {},
): WeightReport {
  if (typeof weights === "string" && !weights.endsWith(".safetensors")) {
    const expected = "a .safetensors file (a .pt is a pickled Python module; convert it outside)";
    throw new ConfigError({ field: "weights", expected, actual: weights });
  }
  const dict = typeof weights === "string" ? readSafetensors(weights).toStateDict() : weights;
  const { matched, missing, mismatched } = loadStateDict(student.net, dict, { strict });
  const skipped = [...missing, ...mismatched.map(({ key }) => key)];
  return { transferred: matched.length, total: matched.length + skipped.length, skipped };
}
