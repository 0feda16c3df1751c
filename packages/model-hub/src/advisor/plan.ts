import { HubError } from "../errors.js";
import { canonicalSha256 } from "../registry/canonical-json.js";
import { type Complexity, complexityOf } from "./complexity.js";
import { type Counterfactual, counterfactuals } from "./counterfactuals.js";
import { byUser, type Decided, type Decision, decide, type TraceEntry } from "./decide.js";
import { exportBytes, gflopsAt, secondsPerImage, teacherBytes, trainingBytes } from "./estimates.js";
import { DOMAIN_DISTANCE, type Facts, factsOf, type PlanRequest, type Priority } from "./facts.js";
import { fingerprintSha256 } from "./fingerprint.js";
import { type AdvisorRules, defaultRules } from "./rules.js";

/** Estimates; null where nothing was measured that they could rest on. */
export interface PlanEstimates {
  /** Peak bytes of a training step of the student. */
  readonly student_training_bytes: number | null;
  readonly teacher_training_bytes: number | null;
  readonly export_bytes: number;
  /** Of one image. */
  readonly gflops: number | null;
  /** Milliseconds of one image at the throughput that was given. */
  readonly latency_ms: number | null;
  readonly steps: number;
  readonly training_seconds: number | null;
}

/** A student beside the chosen one, all at the planned image size. */
export interface StudentOption {
  readonly student: string;
  readonly quality: number | null;
  readonly gflops: number | null;
  readonly training_bytes: number | null;
  /** Weighted by the priority, 0..1; null where a number is unknown. */
  readonly objective: number | null;
  /** Nothing in the list is better in one respect and not worse in another. */
  readonly is_pareto: boolean;
}

/** What to do with a dataset, and why. */
export interface Plan {
  readonly id: string;
  readonly fingerprint_sha256: string;
  readonly choices: Decision["choices"];
  readonly estimates: PlanEstimates;
  readonly complexity: Complexity;
  readonly trace: readonly TraceEntry[];
  readonly options: readonly StudentOption[];
  readonly counterfactuals: readonly Counterfactual[];
  readonly warnings: readonly string[];
  readonly facts: Facts;
  readonly source: "rules";
}

/** Weights of quality, speed and memory. */
const WEIGHTS: Readonly<Record<Priority, readonly [number, number, number]>> = {
  quality: [0.7, 0.15, 0.15],
  speed: [0.15, 0.7, 0.15],
  memory: [0.15, 0.15, 0.7],
  balanced: [1 / 3, 1 / 3, 1 / 3],
};

/**
 * A plan for a dataset: teachers, student, image size, adapter, augmentation, batch, epochs, rates, thresholds, export. The same
 * request gives the same plan.
 *
 * @param secondsPerStep - measured time of a training step of the student; without it the time follows from the GFLOPs
 * @param history - what finished runs say, by output
 * @throws HubError `NO_ANNOTATIONS` without boxes and masks, `NO_FEASIBLE_PLAN`
 */
export function makePlan(
  request: PlanRequest,
  {
    rules = defaultRules(),
    secondsPerStep = null,
    history = {},
  }: {
    rules?: AdvisorRules;
    secondsPerStep?: number | null;
    history?: Readonly<Record<string, Decided>>;
  } = {},
): Plan {
  const { fingerprint, priority = "balanced", overrides = {} } = request;
  if (!fingerprint.has_bbox && !fingerprint.has_segmentation) {
    throw new HubError({
      code: "NO_ANNOTATIONS",
      message: `None of the ${fingerprint.annotations} annotations has a box or a mask: there is nothing to learn from. Annotate objects, or name the classes and let a teacher find them.`,
    });
  }
  const facts = factsOf(request);
  const given = { ...history, ...byUser(overrides) };
  const { choices, trace } = decide(rules, facts, given);
  const sha256 = fingerprintSha256(fingerprint);
  return {
    id: canonicalSha256({ sha256, facts, given, rules }).slice(0, 16),
    fingerprint_sha256: sha256,
    choices,
    estimates: estimate({ choices, facts, rules, secondsPerStep }),
    complexity: complexityOf(fingerprint, DOMAIN_DISTANCE[request.domain ?? "photographic"] ?? null),
    trace,
    options: studentOptions({ choices, rules, priority }),
    counterfactuals: counterfactuals(rules, facts, given),
    warnings: warningsOf(request),
    facts,
    source: "rules",
  };
}

function estimate({
  choices,
  facts,
  rules,
  secondsPerStep,
}: {
  choices: Decision["choices"];
  facts: Facts;
  rules: AdvisorRules;
  secondsPerStep: number | null;
}): PlanEstimates {
  const student = rules.models[String(choices["student"])];
  const size = Number(choices["image_size"]);
  const batch = Number(choices["batch"]);
  const gflops = student === undefined ? null : gflopsAt(student, size);
  const throughput = facts["gflops_per_second"];
  const steps = Math.ceil(Number(facts["images"]) / batch) * Number(choices["student_epochs"]);
  const teachers = ["detector_teacher", "mask_teacher"].flatMap((role) => rules.models[String(choices[role])] ?? []);
  const perImage =
    student === undefined ? null : secondsPerImage(student, size, { measured: facts["seconds_per_gflop"], rules });
  const form = choices["export"] === "fp16" ? "fp16" : "int8";
  return {
    student_training_bytes: student === undefined ? null : trainingBytes(student, batch, size),
    // They are trained one after the other.
    teacher_training_bytes:
      teachers.length === 0 ? null : Math.max(...teachers.map((teacher) => teacherBytes(teacher, rules))),
    export_bytes: student === undefined ? 0 : exportBytes(student, form),
    gflops,
    latency_ms: gflops !== null && typeof throughput === "number" ? (1000 * gflops) / throughput : null,
    steps,
    training_seconds:
      secondsPerStep !== null
        ? steps * secondsPerStep
        : perImage === null
          ? null
          : Number(facts["images"]) * Number(choices["student_epochs"]) * perImage,
  };
}

/** Students of the chosen one's kind: what the choice was between. */
function studentOptions({
  choices,
  rules,
  priority,
}: {
  choices: Decision["choices"];
  rules: AdvisorRules;
  priority: Priority;
}): StudentOption[] {
  const chosen = String(choices["student"]);
  const size = Number(choices["image_size"]);
  const kindOf = (name: string) =>
    name.startsWith("yolov8") ? (name.endsWith("-seg") ? "yolov8-seg" : "yolov8") : "masks";
  const rows = Object.entries(rules.models)
    .filter(([name, { role }]) => role === "student" && kindOf(name) === kindOf(chosen))
    .map(([student, model]) => ({
      student,
      quality: model.quality ?? null,
      gflops: gflopsAt(model, size),
      training_bytes: trainingBytes(model, Number(choices["batch"]), size),
    }));
  /** 1 for the best of the list, 0 for the worst. */
  const scale = (values: readonly (number | null)[], value: number | null, isMore: boolean): number | null => {
    const known = values.filter((other) => other !== null);
    if (value === null) return null;
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const share = high === low ? 1 : (value - low) / (high - low);
    return isMore ? share : high === low ? 1 : 1 - share;
  };
  const columns = (row: (typeof rows)[number]) => [
    scale(
      rows.map(({ quality }) => quality),
      row.quality,
      true,
    ),
    scale(
      rows.map(({ gflops }) => gflops),
      row.gflops,
      false,
    ),
    scale(
      rows.map(({ training_bytes }) => training_bytes),
      row.training_bytes,
      false,
    ),
  ];
  const all = rows.map((row) => ({ row, values: columns(row) }));
  return all.map(({ row, values }) => ({
    ...row,
    objective: values.includes(null)
      ? null
      : values.reduce<number>((sum, value, i) => sum + WEIGHTS[priority][i]! * value!, 0),
    is_pareto: !all.some(({ values: other }) => dominates(other, values)),
  }));
}

/** Better somewhere and worse nowhere; what is unknown is never better. */
function dominates(a: readonly (number | null)[], b: readonly (number | null)[]): boolean {
  const isWorse = a.some((value, i) => (value ?? -1) < (b[i] ?? -1));
  return !isWorse && a.some((value, i) => value !== null && b[i] !== null && value > b[i]!);
}

function warningsOf({ fingerprint, constraints = {} }: PlanRequest): string[] {
  const { images, images_per_class_min: rarest, imbalance, appearance, classes } = fingerprint;
  const warnings: string[] = [];
  if (images < 10)
    warnings.push(`${images} images are too few to train and to measure on: annotate at least 10, better 50.`);
  if (rarest < 10 && classes > 0) {
    warnings.push(
      `The rarest class is on ${rarest} image${rarest === 1 ? "" : "s"}: its accuracy can be neither learned nor measured; 50 are a good start.`,
    );
  }
  if (imbalance > 20) {
    warnings.push(
      `The most frequent class has ${Math.round(imbalance)} times the objects of the rarest: expect it to be missed first.`,
    );
  }
  if (appearance !== null && appearance.duplicateShare > 0.05) {
    warnings.push(
      `${Math.round(appearance.duplicateShare * 100)} % of the images look like another one: split them together, or test results will be too good.`,
    );
  }
  if (constraints.maxLatencyMs !== undefined && constraints.gflopsPerSecond === undefined) {
    warnings.push(
      "The latency limit was not applied: the throughput of the target device is unknown. Measure it with seg optimize --benchmark.",
    );
  }
  return warnings;
}
