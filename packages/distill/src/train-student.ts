import { createClassMapping, inspectDataset } from "@seg/coco-dataset";
import { writeSafetensors } from "@seg/nn";
import {
  adamw,
  Ema,
  type FitResult,
  fit,
  type JsonObject,
  type LossFunction,
  optimizerAuto,
  type ParameterGroup,
  paramGroups,
  RunDirectory,
  schedule,
  sgd,
  type TrainEvent,
  TrainingManager,
  type TrainTask,
  warmup,
  warmupLength,
  withState,
} from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { modelAnchors } from "./anchors.js";
import { BatchLoader } from "./batch-loader.js";
import { classMappingFile, datasetHash } from "./class-mapping-hash.js";
import { ConfigError, EmptySplitError, KdInactiveError, StudentDataMismatchError } from "./errors.js";
import { checkMapping, evaluateStudent, loadEvaluationSet, type StudentEvaluation } from "./evaluate-student.js";
import { FeatureAdaptors, STUDENT_STRIDES } from "./feature-adaptors.js";
import { GradientProbe, type GradientShares } from "./gradient-probe.js";
import { type LossGains, lossGains, type StudentTargets, studentLoss } from "./losses/student-loss.js";
import { studentPredictor } from "./predictor.js";
import { writeRunReport } from "./run-report.js";
import { isMaskStudent } from "./select-student.js";
import { createStudent, type Student } from "./student.js";
import { loadWeights } from "./students/weights/load-weights.js";
import { buildTargets, type TargetParts } from "./targets.js";
import { checkTrainConfig, closedEpochs, kdRampAt, type TrainStudentConfig } from "./train-config.js";
import { loadTrainingImages, type TrainingImage } from "./training-images.js";
import { validationLosses } from "./validation-losses.js";

/** Optimiser and learning rate of a configuration. */
function chooseOptimizer(
  cfg: TrainStudentConfig,
  facts: { images: number; batch: number; epochs: number; classes: number },
) {
  const { weightDecay = 5e-4, optimizer: wanted = "auto" } = cfg;
  if (wanted !== "auto") {
    const { kind, lr, ...rest } = wanted;
    return {
      lr,
      optimizer: kind === "adamw" ? adamw({ ...rest, weightDecay }) : sgd({ momentum: 0.937, ...rest, weightDecay }),
    };
  }
  const auto = optimizerAuto(facts);
  if (auto.optimizer === "adamw") return { lr: auto.lr, optimizer: adamw({ betas: auto.betas, weightDecay }) };
  return { lr: auto.lr, optimizer: sgd({ momentum: auto.momentum, nesterov: auto.nesterov, weightDecay }) };
}

/** Masks as annotated must exist for a mask student, unless a teacher supplies them. */
function checkData(cfg: TrainStudentConfig): void {
  const { hasBoxes, hasMasks, counts } = inspectDataset((cfg.distillation?.data ?? cfg.train).dataset);
  const facts = { student: cfg.student, boxes: counts.bbox, masks: counts.polygon + counts.rle };
  if (!hasBoxes && !hasMasks) {
    const hint = "Annotate objects first, or let a detection teacher name them.";
    throw new StudentDataMismatchError({ ...facts, hint });
  }
  if (isMaskStudent(cfg.student) && !hasMasks && (cfg.distillation?.counts.masks ?? 0) === 0) {
    const hint = "Choose a detection student, annotate masks, or pass what a mask teacher said.";
    throw new StudentDataMismatchError({ ...facts, hint });
  }
}

/** Which terms both sides can serve. */
interface Terms {
  readonly kd: readonly KdTerm[];
  readonly parts: TargetParts;
  /** Levels with features on both sides. */
  readonly strides: readonly number[];
}
type KdTerm = "kd_cls" | "kd_box" | "kd_mask" | "kd_feat";

/** @throws KdInactiveError when there is a teacher and no term to teach */
function chooseTerms({
  cfg,
  images,
  gains,
  segment,
  classes,
  hasFeatures,
}: {
  cfg: TrainStudentConfig;
  images: readonly TrainingImage[];
  gains: LossGains;
  segment: boolean;
  classes: number;
  hasFeatures: boolean;
}): Terms {
  const { distillation = null } = cfg;
  const objects = images.flatMap(({ objects }) => objects);
  const isIgnoring = images.some(({ sample }) => sample.iscrowd?.some(Boolean));
  const isWeighted = objects.some(({ weight }) => weight !== 1);
  const shared = { segment, ...(isIgnoring ? { ignore: true } : {}), ...(isWeighted ? { weights: true } : {}) };
  if (distillation === null) return { kd: [], parts: shared, strides: [] };
  const isKnown = objects.some(({ annotationId }) => distillation.detection(annotationId) !== null);
  const isCut = segment && objects.some(({ annotationId }) => distillation.hasMask(annotationId));
  const strides = hasFeatures ? STUDENT_STRIDES.filter((stride) => distillation.featureChannels.has(stride)) : [];
  const exists = { kd_cls: isKnown, kd_box: isKnown, kd_mask: isCut, kd_feat: strides.length > 0 };
  const gain = { kd_cls: gains.kdCls, kd_box: gains.kdBox, kd_mask: gains.kdMask, kd_feat: gains.kdFeat };
  const names = Object.keys(exists) as KdTerm[];
  const kd = names.filter((name) => exists[name] && gain[name] > 0);
  const { teachers, counts } = distillation;
  const isAnnotated = counts.unlabelled < counts.images;
  // A part of a teacher that says nothing about any training object: other annotations, or a cache of other images.
  const silent = [
    ...(teachers.detector && isAnnotated && !isKnown && gain.kd_cls + gain.kd_box > 0 ? ["kd_cls"] : []),
    ...(teachers.masks && segment && !isCut && gain.kd_mask > 0 ? ["kd_mask"] : []),
  ];
  if (silent.length > 0) {
    const reason = "the teacher says nothing about any training object";
    throw new KdInactiveError({ term: silent.join(", "), epoch: 0, reason });
  }
  return {
    kd,
    strides: kd.includes("kd_feat") ? strides : [],
    parts: {
      ...shared,
      ...(kd.includes("kd_cls") ? { classes } : {}),
      ...(kd.includes("kd_box") ? { teacherBoxes: true } : {}),
      ...(kd.includes("kd_mask") ? { teacherMasks: true } : {}),
    },
  };
}

/** What `args.yaml` holds: plain values only. */
function argsOf(cfg: TrainStudentConfig): JsonObject {
  const { train, val, mapping: _mapping, weights, distillation, callbacks: _callbacks, ...plain } = cfg;
  return JSON.parse(
    JSON.stringify({
      ...plain,
      train_images: train.imagesDir,
      val_images: val?.imagesDir ?? null,
      weights: typeof weights === "string" ? weights : weights ? "state dict" : null,
      distillation: distillation ? { ...distillation.teachers, ...distillation.counts, hash: distillation.hash } : null,
    }),
  ) as JsonObject;
}

/**
 * Trains a prompt-free student on COCO annotations, with distillation where a teacher's answers are given. Runs on the active
 * tfjs backend; a step is one graph of fixed shape. Ends with `weights/student.safetensors` (averaged or best weights) and
 * `class_mapping.json` in the run directory. While distillation is on, the column `kd/grad_ratio` says how long its gradient is beside
 * the task's.
 *
 * @returns the events of `fit` (@seg/train); the last one is `end`
 * @throws ConfigError, StudentDataMismatchError, ClassMappingMismatchError, EmptySplitError, BadImageError, KdInactiveError and
 * the errors of `fit`
 * @example
 * for await (const event of trainStudent({ student: "yolov8n", train, val, directory: "runs/a", imgsz: 320, epochs: 36 })) {
 *   if (event.type === "eval") report(event.metrics.mAP50);
 * }
 */
export async function* trainStudent(
  cfg: TrainStudentConfig,
  { signal, now }: { signal?: AbortSignal; now?: () => number } = {},
): AsyncGenerator<TrainEvent, FitResult, undefined> {
  checkTrainConfig(cfg);
  checkData(cfg);
  const { imgsz = 640, epochs = 100, seed = 0, onBadImage = "error", warmupEpochs = 3, distillation = null } = cfg;
  const { forms = {} } = cfg;
  const mapping = cfg.mapping ?? createClassMapping(cfg.train.dataset);
  checkMapping(cfg.train.dataset, mapping, "the training split");
  const abort = signal ? { signal } : {};
  const segment = isMaskStudent(cfg.student);
  const data = distillation?.data ?? cfg.train;

  const { images, skipped } = await loadTrainingImages({
    ...data,
    mapping,
    imgsz,
    withMasks: segment,
    onBadImage,
    ...abort,
  });
  if (images.length === 0)
    throw new EmptySplitError({ split: "training", hint: `${skipped.length} images are unreadable.` });
  if (images.every(({ sample }) => !sample.iscrowd?.some((isCrowd) => !isCrowd))) {
    throw new EmptySplitError({
      split: "training",
      hint: "No image has an object of a mapped category with a positive area.",
    });
  }
  const evaluationSet = cfg.val
    ? await loadEvaluationSet({ ...cfg.val, mapping, imgsz, onBadImage, split: "validation", ...abort })
    : null;
  const { interval: _interval, batch: evaluationBatch = 8, ...evaluationOptions } = cfg.evaluation ?? {};

  const { shards = 1 } = cfg;
  const batch = Math.floor(Math.min(cfg.batch ?? 16, images.length) / shards) * shards;
  if (batch === 0) {
    throw new ConfigError({
      field: "shards",
      expected: `at most ${images.length}, the number of images`,
      actual: shards,
    });
  }
  const closed = closedEpochs({ closeMosaic: cfg.closeMosaic, epochs });
  const { lossWeights, normalize } = cfg;
  const gains = lossGains({
    ...(lossWeights ? { weights: lossWeights } : {}),
    ...(normalize ? { normalize } : {}),
    segment,
    gains: cfg.gains ?? {},
  });
  const classes = mapping.classes.length;
  const student = createStudent(cfg.student, {
    ...{ classes, imgsz, seed, momentum: cfg.bnMomentum ?? 0.03 },
    // A decoder that was never trained could not be left as it is.
    trainDecoder: cfg.weights === undefined,
    ...(cfg.widths ? { widths: cfg.widths } : {}),
  });
  const anchors = modelAnchors(imgsz, imgsz);
  const size = [imgsz, imgsz] as const;
  let adaptors: FeatureAdaptors | null = null;
  let probe: GradientProbe | null = null;
  try {
    if (cfg.weights !== undefined) loadWeights(student, cfg.weights);
    const wantsFeatures = distillation !== null && distillation.featureChannels.size > 0 && gains.kdFeat > 0;
    const channels = wantsFeatures ? featureChannels(student) : [];
    const { kd, parts, strides } = chooseTerms({
      cfg,
      images,
      gains,
      segment,
      classes,
      hasFeatures: channels.length > 0,
    });
    if (strides.length > 0) {
      const levels = strides.map((stride) => ({
        stride,
        studentChannels: channels[STUDENT_STRIDES.indexOf(stride)]!,
        teacherChannels: distillation!.featureChannels.get(stride)!,
      }));
      adaptors = new FeatureAdaptors(levels, { seed });
    }
    const loader = new BatchLoader(images, {
      batch,
      size: imgsz,
      seed,
      parts,
      augment: cfg.augment ?? {},
      mixUntil: epochs - closed,
      ...(cfg.stepsPerEpoch === undefined ? {} : { stepsPerEpoch: cfg.stepsPerEpoch }),
      distillation: kd.length > 0 ? distillation : null,
      featureStrides: strides,
      temperature: forms.sigmoidTemperature ?? 1,
    });
    const { stepsPerEpoch } = loader;
    const { lr, optimizer } = chooseOptimizer(cfg, { images: stepsPerEpoch * batch, batch, epochs, classes });
    const length = { epochs, stepsPerEpoch, warmupEpochs };
    const groups = paramGroups(student.net, adaptors ? { extra: { projector: adaptors } } : {});
    if (adaptors !== null) checkTrained(adaptors, groups);
    const training = new TrainingManager({
      model: student.net,
      optimizer,
      groups,
      lr,
      schedule: schedule({ kind: "linear", epochs, stepsPerEpoch, baseLr: lr, lrf: cfg.lrf ?? 0.01 }),
      warmup: warmup({ ...length, warmupRatio: cfg.warmupRatio ?? 0.1, warmupBiasLr: 0, baseLr: lr, byEpoch: false }),
      clip: { maxNorm: cfg.clipNorm ?? 10 },
      ema: new Ema(student.net, cfg.ema ?? {}),
      shards,
    });
    const warmupSteps = warmupLength(length);
    const mappingFile = classMappingFile(mapping);

    // One function per number of rows for positives, which is no tensor: a compiled step belongs to its function.
    const losses = new Map<number, LossFunction>();
    const lossOf = (positives: number): LossFunction => {
      const known = losses.get(positives);
      if (known) return known;
      const { smallBoxExpand = false } = cfg;
      const loss: LossFunction = ({ images, kdGradRatio, ...tensors }) => {
        const outputs = student.forward(images as tf.Tensor4D);
        const targets = { ...tensors, positives } as unknown as StudentTargets;
        const features = strides.map((stride) => ({
          student: adaptors!.forward(stride, outputs.features![STUDENT_STRIDES.indexOf(stride)]!),
          teacher: tensors[`features${stride}`] as tf.Tensor4D,
          valid: tensors[`featuresValid${stride}`] as tf.Tensor3D,
        }));
        const { total, parts } = studentLoss({
          outputs,
          targets,
          anchors,
          size,
          gains,
          forms,
          features,
          smallBoxExpand,
        });
        // Measured at the start of the epoch; it comes along so that it lands in the log.
        return { total, parts: { ...parts, ...(kdGradRatio ? { kd_grad_ratio: kdGradRatio as tf.Scalar } : {}) } };
      };
      losses.set(positives, loss);
      return loss;
    };

    const taskParts = ["box", "cls", "dfl", ...(segment && hasMasks(images) ? ["seg"] : [])];
    probe = kd.length > 0 ? new GradientProbe({ model: student.net, names: [...taskParts, ...kd] }) : null;
    /** Measured at the start of an epoch; checkpoints keep them, because the next epochs train with them. */
    let balance: Balance = { gradRatio: 0, featureScale: 1 };

    /** Tensors of a batch or of its first images; the caller disposes them. */
    const tensorsOf = (epoch: number, step: number, count = batch) => {
      const loaded = loader.load(epoch - 1, step);
      const kdRamp = kdRampAt({
        step: (epoch - 1) * stepsPerEpoch + step,
        stepsPerEpoch,
        warmupSteps,
        epochs,
        closed,
      });
      const images = tf.tensor4d(loaded.images, [batch, imgsz, imgsz, 3]);
      const { positives, ...targets } = buildTargets(loaded.targets, { kdRamp });
      const inputs: Record<string, tf.Tensor> = { images, ...targets };
      for (const { stride, values, valid } of loaded.features) {
        const cells = imgsz / stride;
        inputs[`features${stride}`] = tf.tensor4d(values, [batch, cells, cells, values.length / valid.length]);
        inputs[`featuresValid${stride}`] = tf.tensor3d(valid, [batch, cells, cells]);
      }
      if (kd.length > 0) inputs["kdGradRatio"] = tf.scalar(balance.gradRatio);
      if (strides.length > 0) inputs["featureScale"] = tf.scalar(balance.featureScale);
      if (count < batch) {
        for (const [name, tensor] of Object.entries(inputs)) {
          if (tensor.rank === 0) continue;
          inputs[name] = tf.slice(tensor, 0, count);
          tensor.dispose();
        }
      }
      return { inputs, loss: lossOf(positives), files: loaded.files, kdRamp };
    };

    /** The last one of this process, for the pictures. */
    let evaluation: StudentEvaluation | null = null;
    const task: TrainTask = {
      model: student.net,
      ...(adaptors ? { projector: adaptors } : {}),
      stepsPerEpoch,
      imagesPerStep: batch,
      batch(epoch, step) {
        const { inputs, loss, files } = tensorsOf(epoch, step);
        return { ids: files, loss, inputs, dispose: () => tf.dispose(inputs) };
      },
      ...(probe
        ? {
            onEpochStart: async (epoch: number) => {
              // A measurement costs about a step, so few epochs have one; the first only where it sets the scale of the features.
              const isDue =
                epoch === 2 || epoch % Math.ceil(epochs / PROBES) === 0 || (epoch === 1 && strides.length > 0);
              if (!isDue) return;
              const { inputs, loss, kdRamp } = tensorsOf(epoch, 0, Math.min(PROBE_IMAGES, batch));
              try {
                const shares = await probe!.measure(loss, inputs);
                balance = balanceOf({ shares, featureScale: balance.featureScale, kdRamp });
                checkActive({ shares, epoch, kdRamp });
              } finally {
                tf.dispose(inputs);
              }
            },
            state: () => ({ kd_balance: { ...balance } }),
            restore: (state: JsonObject) => {
              balance = (state["kd_balance"] as unknown as Balance | undefined) ?? balance;
            },
          }
        : {}),
      ...(evaluationSet
        ? {
            evaluate: async (_epoch, emaState) => {
              const input = {
                predictor: studentPredictor(student),
                set: evaluationSet,
                batch: evaluationBatch,
                ...evaluationOptions,
              };
              const { smallBoxExpand = false } = cfg;
              // Not abortable: an interrupted run ends after this evaluation with its epoch saved, instead of losing the epoch.
              return await withState(student.net, emaState, async () => {
                evaluation = await evaluateStudent(input);
                const losses = await validationLosses(student, evaluationSet, {
                  batch: evaluationBatch,
                  gains,
                  smallBoxExpand,
                });
                return { ...evaluation.metrics, ...losses };
              });
            },
          }
        : {}),
      identity: {
        student: cfg.student,
        imgsz,
        batch,
        seed,
        mapping: mappingFile.sha256,
        dataset: datasetHash(data.dataset),
        distillation: kd.length > 0 ? { terms: [...kd], hash: distillation!.hash } : null,
      },
    };

    const run = cfg.resume ? new RunDirectory(cfg.directory) : RunDirectory.create(cfg.directory);
    run.writeJson("class_mapping.json", mappingFile as unknown as JsonObject);
    run.write("augmentation.yaml", loader.augmentation);
    const events = fit(
      task,
      {
        epochs,
        directory: run,
        training,
        ...(cfg.checkpoint ? { checkpoint: cfg.checkpoint } : {}),
        evaluation: { interval: cfg.evaluation?.interval ?? 1 },
        resume: cfg.resume ?? false,
        on_nan: cfg.onNan ?? "stop",
        args: argsOf(cfg),
        ...(cfg.tensorboard ? { tensorboard: { preprocessing: preprocessingOf(imgsz) } } : {}),
      },
      { ...abort, ...(now ? { now } : {}), ...(cfg.callbacks ? { callbacks: cfg.callbacks } : {}) },
    );
    let announced = false;
    for (;;) {
      const next = await events.next();
      if (next.done) return next.value;
      const event = next.value;
      if (event.type === "end") {
        writeSafetensors(run.file("weights", "student.safetensors"), event.result.state);
        if (cfg.plots !== false && event.result.reason !== "aborted") {
          const closedFrom = closed > 0 && closed < epochs ? epochs - closed : null;
          const val = cfg.val ?? null;
          await writeRunReport({ run, loader, imgsz, mapping, train: data, val, evaluation, closedFrom });
        }
      }
      yield event;
      if (!announced) {
        announced = true;
        for (const { file, reason } of skipped)
          yield { ...event, type: "warning", message: `Left out ${file}: ${reason}` } as TrainEvent;
        if (forms.kl === "softmax" && classes === 1)
          yield { ...event, type: "warning", message: SOFTMAX_NOTICE } as TrainEvent;
      }
      if (event.type !== "epoch") continue;
      for (const term of kd) {
        const value = event.losses[term];
        if (value === undefined || !Number.isFinite(value) || value <= 0)
          throw new KdInactiveError({ term, epoch: event.epoch, reason: `its mean value is ${value}` });
      }
    }
  } finally {
    probe?.dispose();
    adaptors?.dispose();
    student.dispose();
    tf.dispose([anchors.centers, anchors.strides]);
  }
}

/** How images become network inputs, as deployments must repeat it. */
const preprocessingOf = (imgsz: number): JsonObject => ({
  imgsz,
  colour: "RGB",
  resize: "letterbox, centred, bilinear (OpenCV)",
  pad: 114,
  scale: "1/255",
  layout: "NCHW float32",
});

/** Images of a gradient measurement: a few tell the share, at a fraction of a step's cost. */
const PROBE_IMAGES = 4;
/** Gradient measurements of a run, beside those of the first epochs. */
const PROBES = 6;

/** The feature term's gradient may be this share of the task's. */
const FEATURE_CAP = 0.5;

const SOFTMAX_NOTICE =
  "Softmax distillation says nothing with one class: the sigmoid form is used (forms.kl: sigmoid).";

/** What a gradient measurement decides. */
interface Balance {
  /** Length of the distillation gradient / length of the task gradient. */
  readonly gradRatio: number;
  readonly featureScale: number;
}

/** Ratio of all terms (lengths of orthogonal parts), and the scale that brings the feature term under its cap. */
function balanceOf({
  shares: { task, terms },
  featureScale,
  kdRamp,
}: {
  shares: GradientShares;
  /** In force during the measurement. */
  featureScale: number;
  kdRamp: number;
}): Balance {
  const feature = terms["kd_feat"] ?? 0;
  // The cap concerns the whole term: what the ramp still holds back counts as there.
  const whole = feature / (Math.max(kdRamp, 1e-3) * featureScale);
  const scale = whole > 0 ? Math.min(1, (FEATURE_CAP * task) / whole) : featureScale;
  const capped = { ...terms, ...(feature > 0 ? { kd_feat: (feature * scale) / featureScale } : {}) };
  const ratio = Math.hypot(...Object.values(capped)) / Math.max(task, 1e-12);
  return { gradRatio: Math.fround(ratio), featureScale: Math.fround(scale) };
}

/** @throws KdInactiveError for a term that has a value and no gradient */
function checkActive({
  shares: { terms, values },
  epoch,
  kdRamp,
}: {
  shares: GradientShares;
  epoch: number;
  kdRamp: number;
}): void {
  for (const [term, norm] of Object.entries(terms)) {
    if (norm > 0 || kdRamp === 0 || !(values[term]! > 0)) continue;
    const reason = `its value is ${values[term]} and its gradient on the student is 0`;
    throw new KdInactiveError({ term, epoch, reason });
  }
}

/** @throws KdInactiveError for an adaptor that the optimiser does not know: it would stay as it was drawn */
function checkTrained(adaptors: FeatureAdaptors, groups: readonly ParameterGroup[]): void {
  const trained = new Set(groups.flatMap(({ parameters }) => [...parameters.values()]));
  for (const [name, parameter] of adaptors.namedParameters()) {
    if (trained.has(parameter)) continue;
    throw new KdInactiveError({ term: "kd_feat", epoch: 0, reason: `the optimiser does not train projector.${name}` });
  }
}

const hasMasks = (images: readonly TrainingImage[]): boolean =>
  images.some(({ sample }) => sample.masks?.some((mask) => (mask as readonly unknown[]).length > 0));

/** Channels of the student's maps of strides 8, 16, 32; empty for a student that does not hand them out. */
function featureChannels(student: Student): number[] {
  return tf.tidy(() => {
    const { features = [] } = student.forward(tf.zeros([1, student.imgsz, student.imgsz, 3]));
    return features.map(({ shape }) => shape[3]);
  });
}
