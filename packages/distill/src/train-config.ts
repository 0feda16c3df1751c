import type { ClassMapping, CocoDataset } from "@seg/coco-dataset";
import type { MaskMode } from "@seg/export/runtime";
import type { LayerWidths, StateDict } from "@seg/nn";
import type { CheckpointConfig, FitOptions } from "@seg/train";
import type { Augmentation } from "./augmentation.js";
import { ConfigError } from "./errors.js";
import type { DistillationForms } from "./losses/distillation-terms.js";
import type { LossGains, LossWeights } from "./losses/student-loss.js";
import { STUDENT_IDS, type StudentId } from "./select-student.js";
import type { DistillationData } from "./teacher/prepare-distillation.js";

/** A split: annotations and the directory that `file_name` is relative to. */
export interface StudentData {
  readonly dataset: CocoDataset;
  readonly imagesDir: string;
}

/** Configuration of {@link trainStudent}. */
export interface TrainStudentConfig {
  readonly student: StudentId;
  readonly train: StudentData;
  /** Absent: nothing is evaluated, `last` is the result. */
  readonly val?: StudentData;
  /** Run directory. */
  readonly directory: string;
  /** @defaultValue from the training categories */
  readonly mapping?: ClassMapping;
  /** Input side, pixels, a multiple of 32. @defaultValue 640 */
  readonly imgsz?: number;
  /** @defaultValue 100 */
  readonly epochs?: number;
  /** Images per step; at most the number of training images. @defaultValue 16 */
  readonly batch?: number;
  /**
   * Parts of a batch that are trained at the same time, a core each (`TrainingManager` of @seg/train): batch statistics are those of a part, so
   * results depend on the number. Divides `batch`. @defaultValue 1
   */
  readonly shards?: number;
  /** Of initial values, order and augmentation. @defaultValue 0 */
  readonly seed?: number;
  /** Initial weights: a `.safetensors` file or a state dict. */
  readonly weights?: string | StateDict;
  /** Layers of a pruned student that are narrower than the table; its weights come with it. @defaultValue {} */
  readonly widths?: LayerWidths;
  /** `auto` is `optimizerAuto` of @seg/train. @defaultValue "auto" */
  readonly optimizer?:
    | "auto"
    | { readonly kind: "adamw"; readonly lr: number; readonly betas?: readonly [number, number] }
    | { readonly kind: "sgd"; readonly lr: number; readonly momentum?: number; readonly nesterov?: boolean };
  /** @defaultValue 5e-4 */
  readonly weightDecay?: number;
  /** Last learning rate / first one, linear in between. @defaultValue 0.01 */
  readonly lrf?: number;
  /** @defaultValue 3 */
  readonly warmupEpochs?: number;
  /** First factor of the warm-up, which rises with every step. @defaultValue 0.1 */
  readonly warmupRatio?: number;
  /** Largest global gradient norm. @defaultValue 10 */
  readonly clipNorm?: number;
  /** @defaultValue decay 0.9999, tau 2000 updates */
  readonly ema?: { readonly decay?: number; readonly tau?: number };
  /** Of batch normalisation. @defaultValue 0.03 */
  readonly bnMomentum?: number;
  /** Weights of the groups of terms. @defaultValue 0.3, 0.3, 0.2, 0.2 */
  readonly lossWeights?: Partial<LossWeights>;
  /** `task` divides the weights by the larger task weight, `none` takes them as written. @defaultValue "task" */
  readonly normalize?: "task" | "none";
  /** Factors of single loss terms; 0 switches a distillation term off. @defaultValue {@link lossGains} */
  readonly gains?: Partial<LossGains>;
  /** Forms and temperatures of the distillation terms. */
  readonly forms?: DistillationForms;
  /** Side lengths below 8 px count as 16 px when anchors are chosen. @defaultValue false */
  readonly smallBoxExpand?: boolean;
  readonly augment?: Augmentation;
  /** Epochs without mixed pictures at the end; distillation fades out in them. @defaultValue min(10, ceil(0.1 epochs)) */
  readonly closeMosaic?: number;
  /**
   * What a teacher said about the training set ({@link prepareDistillation}), trained on instead of `train`. Every term that both sides can serve exists: classes, boxes,
   * masks, features.
   */
  readonly distillation?: DistillationData;
  /** Steps of an epoch, whatever the number of images: runs on data sets of different sizes become comparable. @defaultValue each image once */
  readonly stepsPerEpoch?: number;
  readonly evaluation?: {
    /** Epochs between evaluations. @defaultValue 1 */
    readonly interval?: number;
    /** Images per run. @defaultValue 8 */
    readonly batch?: number;
    /** @defaultValue 300 */
    readonly maxDetections?: number;
    /** @defaultValue "accurate" */
    readonly maskMode?: MaskMode;
  };
  readonly checkpoint?: CheckpointConfig;
  /** Goes on from the newest checkpoint of `directory`. @defaultValue false */
  readonly resume?: boolean;
  /** @defaultValue "stop" */
  readonly onNan?: "stop" | "rollback";
  /** Unreadable images end the run by name, or are left out with a warning. @defaultValue "error" */
  readonly onBadImage?: "error" | "skip";
  /** Pictures of the run in its directory when it ends: curves, confusion, labels, batches. @defaultValue true */
  readonly plots?: boolean;
  /** A TensorBoard event file beside `results.csv`, with the preprocessing in it. @defaultValue false */
  readonly tensorboard?: boolean;
  readonly callbacks?: NonNullable<FitOptions["callbacks"]>;
}

/** Epochs without mosaic at the end of training. */
export function closedEpochs({ closeMosaic, epochs }: { closeMosaic?: number | undefined; epochs: number }): number {
  return Math.min(epochs, closeMosaic ?? Math.min(10, Math.ceil(0.1 * epochs)));
}

/**
 * KD factor of a step: 0 -> 1 over the warm-up, 1, then 1 -> 0 over the last `closed` epochs, so that training ends on the labels.
 *
 * @param step - 0-based over the run
 */
export function kdRampAt({
  step,
  stepsPerEpoch,
  warmupSteps,
  epochs,
  closed,
}: {
  step: number;
  stepsPerEpoch: number;
  warmupSteps: number;
  epochs: number;
  closed: number;
}): number {
  const up = warmupSteps <= 0 ? 1 : Math.min(1, (step + 1) / warmupSteps);
  // A run that is closed from the beginning (very few epochs) keeps its teacher.
  const down = closed <= 0 || closed >= epochs ? 1 : Math.min(1, (epochs - step / stepsPerEpoch) / closed);
  return Math.min(up, down);
}

/** @throws ConfigError */
export function checkTrainConfig({
  student,
  imgsz = 640,
  epochs = 100,
  batch = 16,
  shards = 1,
  seed = 0,
  closeMosaic = 0,
  stepsPerEpoch = 1,
  forms = {},
}: TrainStudentConfig): void {
  const check = (field: string, value: number, low: number, multiple = 1) => {
    if (Number.isSafeInteger(value) && value >= low && value % multiple === 0) return;
    const expected = multiple === 1 ? `an integer of at least ${low}` : `a multiple of ${multiple}, at least ${low}`;
    throw new ConfigError({ field, expected, actual: value });
  };
  if (!STUDENT_IDS.includes(student)) {
    throw new ConfigError({ field: "student", expected: `one of ${STUDENT_IDS.join(", ")}`, actual: student });
  }
  check("imgsz", imgsz, 32, 32);
  check("epochs", epochs, 1);
  check("shards", shards, 1);
  check("batch", batch, shards, shards);
  check("seed", seed, 0);
  check("closeMosaic", closeMosaic, 0);
  check("stepsPerEpoch", stepsPerEpoch, 1);
  const { sigmoidTemperature = 1, temperature = 4, softTargets = 0 } = forms;
  for (const [name, value] of Object.entries({ sigmoidTemperature, temperature })) {
    if (!(value > 0)) throw new ConfigError({ field: `forms.${name}`, expected: "a number above 0", actual: value });
  }
  if (!(softTargets >= 0 && softTargets <= 1))
    throw new ConfigError({ field: "forms.softTargets", expected: "a number in [0, 1]", actual: softTargets });
}
