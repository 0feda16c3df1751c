import { createClassMapping, inspectDataset } from "@seg/coco-dataset";
import { writeSafetensors } from "@seg/nn";
import {
  adamw,
  type BatchTensors,
  Ema,
  type FitResult,
  fit,
  type JsonObject,
  type LossFunction,
  optimizerAuto,
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
import { EmptySplitError, KdInactiveError, StudentDataMismatchError } from "./errors.js";
import { checkMapping, evaluateStudent, loadEvaluationSet } from "./evaluate-student.js";
import { DEFAULT_GAINS, type StudentTargets, studentLoss } from "./losses/student-loss.js";
import { studentPredictor } from "./predictor.js";
import { isMaskStudent } from "./select-student.js";
import { createStudent, loadWeights } from "./student.js";
import { buildTargets } from "./targets.js";
import { checkTrainConfig, closedEpochs, kdRampAt, type TrainStudentConfig } from "./train-config.js";
import { loadTrainingImages } from "./training-images.js";

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
  const { hasBoxes, hasMasks, counts } = inspectDataset(cfg.train.dataset);
  const facts = { student: cfg.student, boxes: counts.bbox, masks: counts.polygon + counts.rle };
  if (!hasBoxes && !hasMasks) throw new StudentDataMismatchError({ ...facts, hint: "Annotate objects first." });
  if (isMaskStudent(cfg.student) && !hasMasks && !cfg.teacher) {
    throw new StudentDataMismatchError({
      ...facts,
      hint: "Choose a detection student, annotate masks, or pass a teacher cache.",
    });
  }
}

/** What `args.yaml` holds: plain values only. */
function argsOf(cfg: TrainStudentConfig): JsonObject {
  const { train, val, mapping: _mapping, weights, teacher, callbacks: _callbacks, ...plain } = cfg;
  return JSON.parse(
    JSON.stringify({
      ...plain,
      train_images: train.imagesDir,
      val_images: val?.imagesDir ?? null,
      weights: typeof weights === "string" ? weights : weights ? "state dict" : null,
      teacher: teacher ? { id: teacher.teacherId, hash: teacher.teacherHash } : null,
    }),
  ) as JsonObject;
}

/**
 * Trains a prompt-free student on COCO annotations, with distillation from a mask teacher where a cache is given. Runs on the active
 * tfjs backend; a step is one graph of fixed shape. Ends with `weights/student.safetensors` (averaged or best weights) and
 * `class_mapping.json` in the run directory.
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
  const { imgsz = 640, epochs = 100, seed = 0, onBadImage = "error", warmupEpochs = 3, teacher = null } = cfg;
  const mapping = cfg.mapping ?? createClassMapping(cfg.train.dataset);
  checkMapping(cfg.train.dataset, mapping, "the training split");
  const abort = signal ? { signal } : {};
  const segment = isMaskStudent(cfg.student);

  const { images, skipped } = await loadTrainingImages({
    ...cfg.train,
    mapping,
    imgsz,
    withMasks: segment,
    onBadImage,
    ...abort,
  });
  if (images.length === 0)
    throw new EmptySplitError({ split: "training", hint: `${skipped.length} images are unreadable.` });
  if (images.every(({ sample }) => sample.instances.length === 0)) {
    throw new EmptySplitError({
      split: "training",
      hint: "No image has an object of a mapped category with a positive area.",
    });
  }
  const evaluationSet = cfg.val
    ? await loadEvaluationSet({ ...cfg.val, mapping, imgsz, onBadImage, split: "validation", ...abort })
    : null;

  const batch = Math.min(cfg.batch ?? 16, images.length);
  const closed = closedEpochs({ closeMosaic: cfg.closeMosaic, epochs });
  const loader = new BatchLoader(images, {
    batch,
    size: imgsz,
    seed,
    segment,
    augment: cfg.augment ?? {},
    mosaicUntil: epochs - closed,
    teacher,
    temperature: cfg.sigmoidTemperature ?? 1,
  });
  const { stepsPerEpoch } = loader;
  const gains = { ...DEFAULT_GAINS, ...cfg.gains };
  const distils = teacher !== null && segment && gains.kdMask > 0;
  if (distils && loader.teacherMasks === 0) {
    throw new KdInactiveError({
      term: "kd_mask",
      epoch: 0,
      reason: "no training object has a mask in the teacher cache",
    });
  }

  const classes = mapping.classes.length;
  const student = createStudent(cfg.student, { classes, imgsz, seed, momentum: cfg.bnMomentum ?? 0.03 });
  const anchors = modelAnchors(imgsz, imgsz);
  try {
    if (cfg.weights !== undefined) loadWeights(student, cfg.weights);
    const { lr, optimizer } = chooseOptimizer(cfg, { images: images.length, batch, epochs, classes });
    const length = { epochs, stepsPerEpoch, warmupEpochs };
    const training = new TrainingManager({
      model: student.net,
      optimizer,
      groups: paramGroups(student.net),
      lr,
      schedule: schedule({ kind: "linear", epochs, stepsPerEpoch, baseLr: lr, lrf: cfg.lrf ?? 0.01 }),
      warmup: warmup({ ...length, warmupRatio: cfg.warmupRatio ?? 0.1, warmupBiasLr: 0, baseLr: lr, byEpoch: false }),
      clip: { maxNorm: cfg.clipNorm ?? 10 },
      ema: new Ema(student.net, cfg.ema ?? {}),
    });
    const warmupSteps = warmupLength(length);
    const mappingFile = classMappingFile(mapping);

    // One function per number of rows for positives, which is no tensor: a compiled step belongs to its function.
    const losses = new Map<number, LossFunction>();
    const lossOf = (positives: number): LossFunction => {
      const known = losses.get(positives);
      if (known) return known;
      const { smallBoxExpand = false } = cfg;
      const size = [imgsz, imgsz] as const;
      const loss: LossFunction = ({ images, ...tensors }) => {
        const outputs = student.forward(images as tf.Tensor4D);
        const targets = { ...tensors, positives } as unknown as StudentTargets;
        const { total, parts } = studentLoss({ outputs, targets, anchors, size, gains, smallBoxExpand });
        const share = parts.kd_mask ? { kd_share: tf.div(tf.mul(parts.kd_mask, batch), total) as tf.Scalar } : {};
        return { total, parts: { ...parts, ...share } };
      };
      losses.set(positives, loss);
      return loss;
    };

    const task: TrainTask = {
      model: student.net,
      stepsPerEpoch,
      imagesPerStep: batch,
      batch(epoch, step) {
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
        const inputs: BatchTensors = { images, ...targets };
        return { ids: loaded.files, loss: lossOf(positives), inputs, dispose: () => tf.dispose({ ...inputs }) };
      },
      ...(evaluationSet
        ? {
            evaluate: async (_epoch, emaState) => {
              const { interval: _interval, batch: evaluationBatch = 8, ...options } = cfg.evaluation ?? {};
              const input = {
                predictor: studentPredictor(student),
                set: evaluationSet,
                batch: evaluationBatch,
                ...options,
              };
              // Not abortable: an interrupted run ends after this evaluation with its epoch saved, instead of losing the epoch.
              const result = await withState(student.net, emaState, () => evaluateStudent(input));
              return result.metrics;
            },
          }
        : {}),
      identity: {
        student: cfg.student,
        imgsz,
        batch,
        seed,
        mapping: mappingFile.sha256,
        dataset: datasetHash(cfg.train.dataset),
        teacher_cache: distils ? teacher.id : null,
      },
    };

    const run = cfg.resume ? new RunDirectory(cfg.directory) : RunDirectory.create(cfg.directory);
    run.writeJson("class_mapping.json", mappingFile as unknown as JsonObject);
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
      },
      { ...abort, ...(now ? { now } : {}), ...(cfg.callbacks ? { callbacks: cfg.callbacks } : {}) },
    );
    let announced = false;
    for (;;) {
      const next = await events.next();
      if (next.done) return next.value;
      const event = next.value;
      if (event.type === "end") writeSafetensors(run.file("weights", "student.safetensors"), event.result.state);
      yield event;
      if (!announced) {
        announced = true;
        for (const { file, reason } of skipped)
          yield { ...event, type: "warning", message: `Left out ${file}: ${reason}` } as TrainEvent;
      }
      const kd = event.losses["kd_mask"];
      if (event.type === "epoch" && distils && !(kd !== undefined && Number.isFinite(kd) && kd > 0)) {
        throw new KdInactiveError({ term: "kd_mask", epoch: event.epoch, reason: `its mean value is ${kd}` });
      }
    }
  } finally {
    student.dispose();
    tf.dispose([anchors.centers, anchors.strides]);
  }
}
