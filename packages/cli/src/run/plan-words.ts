import type { OptionSpecs, OptionValue, OptionValues } from "../args.js";
import { UsageError } from "../errors.js";
import { EMBEDDED_GROUNDING_DINO } from "../teacher/detector-teacher.js";
import { EMBEDDED_SAM } from "../teacher/mask-teacher.js";
import { changesOf, type PlanFile, shown } from "./plan-file.js";

/** Options by name. */
export type Settings = Readonly<Record<string, OptionValue>>;

/** Which weights teachers start from. */
export type TeacherChoice = "embedded" | "published" | "none";

/** Largest rank of the embedded teachers: more would train over a twentieth of their few weights. */
const EMBEDDED_RANK = 8;
/** Images that an embedded teacher is adapted on: it has 1.8 million weights and learns no more from further ones within its epochs. */
const EMBEDDED_IMAGES = 120;
/** CPU seconds of an image and epoch of adapting an embedded teacher, both together. */
const EMBEDDED_SECONDS = 0.08;
/** Share of a time budget that teachers may take. */
const TEACHER_SHARE = 0.2;
/** Evaluations that a training of a student makes. */
const EVALUATIONS = 25;

const SAM_IDS: Readonly<Record<string, string>> = {
  "sam-vit-b": "sam-vit-base",
  "sam-vit-l": "sam-vit-large",
  "sam-vit-h": "sam-vit-huge",
};

/** Options of `train-student` with which a student listens to a detector: places without labels, or by name. */
const HEARS_DETECTOR = ["unlabelled", "non-exhaustive", "kd-cls", "kd-box", "kd-feat"];

/** What decides over teachers, beside the plan. */
export interface TeacherWishes {
  readonly teachers: TeacherChoice;
  readonly timeBudgetSeconds: number | null;
  /** What the person decided for `train-student`. */
  readonly student: Settings;
}

/**
 * Settings of `train-teacher` that carry out a plan, or null where no teacher is adapted; and why. Where everything is labelled a student does not
 * listen to a detector (see the decision record on what a teacher may say), so a time budget is not spent on one.
 */
export function teacherSettings(
  { choices }: PlanFile,
  { teachers, timeBudgetSeconds, student }: TeacherWishes,
): { readonly settings: Settings | null; readonly why: string } {
  const detector = choices["detector_teacher"] ?? null;
  const masks = choices["mask_teacher"] ?? null;
  if (teachers === "none") {
    return { settings: null, why: "as you decided (--teacher none): the student learns from the labels alone" };
  }
  if (detector === null && masks === null) {
    return { settings: null, why: "nothing is annotated that a teacher could be adapted to" };
  }
  if (masks === null && timeBudgetSeconds !== null && !HEARS_DETECTOR.some((name) => name in student)) {
    return {
      settings: null,
      why: "every object is labelled, so the student would not listen to a detector, and the time is short (without --time-budget one is adapted and measured; with --student.unlabelled or --student.kd-cls it teaches)",
    };
  }
  const epochs = Number(choices["lora_epochs"]);
  if (teachers === "published") {
    return {
      settings: {
        ...(detector === null ? {} : { teacher: String(detector) }),
        ...(masks === null ? {} : { sam: SAM_IDS[String(masks)] ?? String(masks) }),
        epochs,
        "lora.r": Number(choices["lora_rank"]),
        "lora.lora_alpha": Number(choices["lora_alpha"]),
      },
      why: "published weights, as planned",
    };
  }
  const rank = Math.min(EMBEDDED_RANK, Number(choices["lora_rank"]));
  const fitting =
    timeBudgetSeconds === null
      ? EMBEDDED_IMAGES
      : Math.floor((TEACHER_SHARE * timeBudgetSeconds) / (epochs * EMBEDDED_SECONDS));
  const limit = Math.min(EMBEDDED_IMAGES, Math.max(16, fitting));
  return {
    settings: {
      ...(detector === null ? {} : { teacher: EMBEDDED_GROUNDING_DINO }),
      ...(masks === null ? {} : { sam: EMBEDDED_SAM }),
      epochs,
      "lora.r": rank,
      "lora.lora_alpha": rank === choices["lora_rank"] ? Number(choices["lora_alpha"]) : 2 * rank,
      "max-images": limit,
    },
    why: `the embedded small ones (nothing is fetched unless asked: --teacher published), on at most ${limit} images`,
  };
}

/** Settings of `train-student` that carry out a plan. */
export function studentSettings({ choices }: PlanFile): Settings {
  const epochs = Number(choices["student_epochs"]);
  return {
    student: String(choices["student"]),
    imgsz: Number(choices["image_size"]),
    epochs,
    batch: Number(choices["batch"]),
    lr: Number(choices["learning_rate"]),
    mosaic: Number(choices["mosaic"]),
    mixup: 0,
    "copy-paste": 0,
    flipud: Number(choices["flip_vertical"]),
    "close-mosaic": Number(choices["close_mosaic"]),
    "eval-interval": Math.max(1, Math.round(epochs / EVALUATIONS)),
    // The rate falls until the last epoch: stopping early would stop before the best one.
    patience: 0,
  };
}

/** Settings of `optimize` that carry out a plan. */
export const optimizeSettings = ({ choices }: PlanFile): Settings => ({
  format: ["onnx"],
  quantize: String(choices["export"]),
});

/** Choices of the advisor that a run cannot have otherwise, and what holds instead. */
const FIXED: Readonly<Record<string, string>> = {
  student_weights: "initial weights are given with --student.weights FILE",
  warmup_epochs: "students always warm up for three epochs",
  optimizer: "students are always trained with AdamW",
  schedule: "the learning rate always falls evenly",
  ema: "weights are always averaged",
  augmentation: "it follows from --student.characteristics",
  lighting: "it follows from --student.characteristics",
  camera: "it follows from --student.characteristics",
  box_threshold: "thresholds are swept on the validation split",
  text_threshold: "thresholds are swept on the validation split",
};

/**
 * A decision that nothing would follow from is refused, not ignored.
 * @throws {@link UsageError} naming the first choice of a person that no step carries out
 */
export function checkCarriedOut(plan: PlanFile): void {
  for (const { output, advised } of changesOf(plan)) {
    const instead = FIXED[output];
    if (instead === undefined) continue;
    throw new UsageError(
      `${output} cannot be decided for seg run: ${instead}. Leave it as it was advised (${shown(advised)}).`,
    );
  }
}

/** Seconds that training takes on one idle core of the machine that the rules were measured on; null where nobody measured it. */
export function plannedSeconds(
  file: PlanFile,
  { images, ...wishes }: TeacherWishes & { readonly images: number },
): { readonly teacher: number | null; readonly student: number | null } {
  const { settings } = teacherSettings(file, wishes);
  if (settings === null) return { teacher: 0, student: file.student_seconds };
  const { "max-images": limit, epochs } = settings;
  return {
    teacher: typeof limit === "number" ? Math.min(images, limit) * Number(epochs) * EMBEDDED_SECONDS : null,
    student: file.student_seconds,
  };
}

/** Choices that say nothing about a run: they stand in the plan for other commands. */
export const OF_OTHER_COMMANDS: readonly string[] = [
  "student_weights",
  "augmentation",
  "lighting",
  "camera",
  "box_threshold",
  "text_threshold",
];

/** What a run does otherwise than its plan reads, and how to have it. */
export function notCarriedOut(plan: PlanFile, wishes: TeacherWishes): string[] {
  const { choices } = plan;
  const published = [choices["detector_teacher"], choices["mask_teacher"]].filter(
    (name) => name !== null && name !== undefined,
  );
  const { settings, why } = teacherSettings(plan, wishes);
  const words = [choices["characteristics"]].flat().filter((word) => word !== null && word !== undefined);
  return [
    ...(settings === null
      ? [`no teacher is adapted: ${why}`]
      : wishes.teachers === "published"
        ? []
        : [
            `${published.join(" and ")} must be fetched (--teacher published); this run adapts the small ones of this toolkit, which need no network`,
          ]),
    ...(words.length === 0
      ? []
      : [
          `characteristics ${shown(words)}: students learn with their usual augmentation; --student.characteristics ${words.join(" ")} takes the registry's instead`,
        ]),
    `also in plan.yaml, for other commands: ${OF_OTHER_COMMANDS.map((name) => name.replaceAll("_", " ")).join(", ")}`,
  ];
}

/** Overrides of a step (`student.epochs`) that are choices of the plan, so that what follows from them follows. */
export const STEP_CHOICES: Readonly<Record<string, string>> = {
  "student.student": "student",
  "student.epochs": "student_epochs",
  "student.imgsz": "image_size",
  "student.batch": "batch",
  "student.lr": "learning_rate",
  "student.mosaic": "mosaic",
  "student.flipud": "flip_vertical",
  "student.close-mosaic": "close_mosaic",
  "teacher.epochs": "lora_epochs",
  "teacher.lora.r": "lora_rank",
  "teacher.lora.lora_alpha": "lora_alpha",
  "optimize.quantize": "export",
};

/** Options of a step under its prefix: `--student.epochs`; what `seg run` decides itself is left out. */
export function prefixed(prefix: string, specs: OptionSpecs, own: readonly string[]): OptionSpecs {
  return Object.fromEntries(
    Object.entries(specs)
      .filter(([name]) => !own.includes(name))
      // What usually holds is the plan's business here.
      .map(([name, { fallback: _fallback, usual: _usual, required: _required, aliases = [], ...spec }]) => [
        `${prefix}.${name}`,
        {
          ...spec,
          aliases: aliases.filter((alias) => !alias.includes(".")).map((alias) => `${prefix}.${alias}`),
          group: `Settings of ${prefix === "teacher" || prefix === "student" ? `train-${prefix}` : prefix}`,
        },
      ]),
  );
}

/** What was given for a step, without its prefix. */
export const givenFor = (prefix: string, options: OptionValues): Settings =>
  Object.fromEntries(
    Object.entries(options).flatMap(([name, value]) =>
      value === undefined || !name.startsWith(`${prefix}.`) ? [] : [[name.slice(prefix.length + 1), value]],
    ),
  );
