import { createYolov8, deployForward, headTensors, type LayerWidths, type Module, type Yolov8ScaleName } from "@seg/nn";
import type * as tf from "@tensorflow/tfjs";
import { ConfigError } from "./errors.js";
import type { StudentOutputs } from "./losses/student-loss.js";
import { isMaskStudent, STUDENT_IDS, type StudentId } from "./select-student.js";
import { createMobileSamStudent } from "./students/mobile-sam/student.js";

/** Prompt-free network: image in, boxes, classes and masks out. */
export interface Student {
  readonly id: StudentId;
  readonly classes: number;
  /** Side of the square input in pixels, a multiple of 32. */
  readonly imgsz: number;
  readonly segment: boolean;
  readonly net: Module;
  /** Raw head tensors for the losses. `images` [B, H, W, 3] RGB in 0..1. */
  forward(images: tf.Tensor4D): StudentOutputs;
  /**
   * The deployed graph. `images` [B, 3, H, W] RGB in 0..1, letterboxed; outputs as `deployForward` of @seg/nn, with as many columns and
   * prototypes as the student has.
   */
  deploy(images: tf.Tensor4D): { output0: tf.Tensor3D; output1?: tf.Tensor4D };
  dispose(): void;
}

/** Published at 1024 px. */
const DEFAULT_SIZE = { "fastsam-s": 1024, mobilesam: 1024 } as const;

/**
 * Builds a student with initial values drawn from `seed`.
 *
 * @param classes - number of classes, at least 1
 * @param imgsz - input side in pixels, a multiple of 32; 640, for fastsam-s and mobilesam 1024, by default
 * @param regMax - bins of each box side's distribution; `regMaxOf` reads it from a weight file @defaultValue 16
 * @param momentum - of batch normalisation @defaultValue 0.03
 * @param trainDecoder - of mobilesam: also train prompt encoder and mask decoder, which else stay as loaded @defaultValue false
 * @param widths - layers of a pruned student that are narrower than the table @defaultValue {}
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
    trainDecoder = false,
    widths = {},
  }: {
    classes: number;
    imgsz?: number;
    seed?: number;
    regMax?: number;
    momentum?: number;
    trainDecoder?: boolean;
    widths?: LayerWidths;
  },
): Student {
  if (!STUDENT_IDS.includes(id))
    throw new ConfigError({ field: "student", expected: `one of ${STUDENT_IDS.join(", ")}`, actual: id });
  const size = imgsz ?? DEFAULT_SIZE[id as keyof typeof DEFAULT_SIZE] ?? 640;
  if (!Number.isInteger(size) || size < 32 || size % 32 !== 0) {
    throw new ConfigError({ field: "imgsz", expected: "a positive multiple of 32", actual: size });
  }
  if (id === "mobilesam") return createMobileSamStudent({ classes, imgsz: size, seed, regMax, momentum, trainDecoder });
  const scale = (id === "fastsam-s" ? "s" : id.charAt("yolov8".length)) as Yolov8ScaleName;
  const segment = isMaskStudent(id);
  const net = createYolov8({ scale, classes, segment, seed, regMax, momentum, widths });
  return {
    id,
    classes,
    imgsz: size,
    segment,
    net,
    forward(images) {
      const output = net.forward(images);
      const heads = { ...headTensors(output), features: output.features };
      return output.proto ? { ...heads, proto: output.proto } : heads;
    },
    deploy: (images) => deployForward(net, images),
    dispose: () => net.dispose(),
  };
}
