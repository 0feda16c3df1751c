import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import {
  injectLora,
  type LoraConfigInput,
  type LoraHandle,
  quantizeFrozen,
  saveAdapter,
  verifyFreezing,
} from "@seg/lora";
import { loadStateDict, stateDict, weightsHash, writeFileAtomic, writeSafetensors } from "@seg/nn";
import type { GroundingDinoSizeOptions } from "@seg/preprocess";
import {
  adamw,
  CheckpointManager,
  type FitResult,
  fit,
  type JsonObject,
  NonFiniteGradientError,
  NonFiniteLossError,
  RunDirectory,
  schedule,
  type TrainEvent,
  TrainingManager,
  type TrainTask,
  warmup,
} from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { NonFiniteTeacherLossError, NoTrainableDataError } from "../../errors.js";
import type { MergeCheck } from "../../sam/merge-check.js";
import type { ClassScore } from "../batch-predictor.js";
import type { GroundingDino } from "../grounding-dino.js";
import { mapSizes } from "../image-levels.js";
import { type GroundingDinoPreset, groundingDinoTargets } from "../lora-presets.js";
import type { EncodeCaption } from "../text-batch.js";
import type { DetectorAugmentation } from "./augment-item.js";
import { DetectionStep } from "./detection-step.js";
import type { DetectorItem } from "./detector-item.js";
import { DetectorSource } from "./detector-source.js";
import { type DetectorEvaluation, evaluateGroundingDino } from "./evaluate.js";
import { FeatureCache } from "./feature-cache.js";
import { checkDetectorMerge } from "./merge-check.js";
import { SplitNetwork } from "./split-network.js";
import { TrainableView } from "./trainable-view.js";

/** Training images on which score thresholds are chosen. */
const THRESHOLD_IMAGES = 100;
/** Networks up to this width train with the settings that were measured on the small one of this repository. */
const SMALL_WIDTH = 128;

/** What happens during {@link fineTuneGroundingDino}. */
export type DetectorFineTuneEvent =
  | {
      readonly type: "start";
      readonly steps: number;
      readonly trainable: number;
      readonly frozen: number;
      readonly instances: number;
      /** Instances whose box cannot be trained on. */
      readonly skippedInstances: number;
    }
  | { readonly type: "notice"; readonly message: string }
  | { readonly type: "evaluation"; readonly when: "before" | "after"; readonly evaluation: DetectorEvaluation }
  | { readonly type: "train"; readonly event: TrainEvent };

/** Settings of {@link fineTuneGroundingDino}. */
export interface DetectorFineTuneOptions {
  /** Receives the adapters; its base weights stay as they are unless `method` is `full`. */
  readonly model: GroundingDino;
  readonly items: readonly DetectorItem[];
  /** Phrase of every class, in class order. */
  readonly phrases: readonly string[];
  readonly encode: EncodeCaption;
  /** Sizes that the model's processor makes. */
  readonly size: GroundingDinoSizeOptions;
  /** `qlora`: the frozen base is held in 4 bits while training. @defaultValue "lora" */
  readonly method?: "lora" | "qlora" | "full";
  /** @defaultValue rank 16, alpha 32, dropout .1; rank 4, alpha 8, no dropout for networks up to 128 wide */
  readonly lora?: Partial<LoraConfigInput>;
  /** Adapted layers; `lora.targetModules` wins. @defaultValue "self-attn"; "neck-full" for networks up to 128 wide */
  readonly preset?: GroundingDinoPreset;
  /** Rounds over the images. @defaultValue 50 */
  readonly epochs?: number;
  /** Images per step. @defaultValue 8 */
  readonly batch?: number;
  /** Steps whose gradients are averaged into one update. @defaultValue 2; 1 for networks up to 128 wide */
  readonly accumulate?: number;
  /** @defaultValue 1e-4; 3e-3 for networks up to 128 wide */
  readonly lr?: number;
  /** @defaultValue 1e-5; 6e-5 for networks up to 128 wide */
  readonly minLr?: number;
  /** @defaultValue 1e-4 */
  readonly weightDecay?: number;
  /** Updates of linear warm-up; at most a tenth of all. @defaultValue 500 */
  readonly warmupSteps?: number;
  /** Largest gradient norm. @defaultValue 0.1; 1 for networks up to 128 wide */
  readonly clip?: number;
  /** null: pictures as they are. @defaultValue mirror, scale .85 to 1.1, shift 6 % */
  readonly augmentation?: DetectorAugmentation | null;
  /**
   * Views of each image, caption order included, that are drawn once; what the frozen part makes of them is then cached. With `augmentation: null` one view needs no drawing.
   * @defaultValue none: every draw is a new view, nothing is cached; 1 without augmentation
   */
  readonly cacheViews?: number;
  /** Keeps the frozen part's features between runs. @defaultValue memory only */
  readonly cacheDir?: string;
  /** Stored type of cached features. @defaultValue "F16" */
  readonly cacheDtype?: "F32" | "F16";
  /** Factor of the one-to-many loss over encoder tokens, only with adapters in the encoder. @defaultValue 0; .5 for networks up to 128 wide */
  readonly denseWeight?: number;
  /** @defaultValue "max" */
  readonly classScore?: ClassScore;
  /** Trainable share of the frozen parameters that is still accepted. @defaultValue 0.05 */
  readonly maxTrainableRatio?: number;
  readonly seed?: number;
  /** Decides which adapter is the best one, and when to stop. @defaultValue none: the last adapter is kept */
  readonly validation?: readonly DetectorItem[];
  /** Epochs between evaluations. @defaultValue a tenth of the epochs */
  readonly evaluationInterval?: number;
  /** Epochs without a better mAP50 (by .001) after which training stops. @defaultValue 15, at least three evaluations */
  readonly patience?: number;
  /** Where adapter, checkpoints and logs go. */
  readonly outDir: string;
  /** Goes on from the checkpoint in `outDir`. @defaultValue false */
  readonly resume?: boolean;
  readonly onEvent?: (event: DetectorFineTuneEvent) => void;
  readonly signal?: AbortSignal;
}

/** Result of {@link fineTuneGroundingDino}. */
export interface DetectorFineTuneResult {
  /** The model with its best adapters, not merged; null after full fine-tuning. */
  readonly handle: LoraHandle | null;
  readonly reason: FitResult["reason"];
  readonly steps: number;
  readonly before: DetectorEvaluation | null;
  readonly after: DetectorEvaluation | null;
  readonly merge: MergeCheck | null;
  /** Per class the score threshold with the largest F1 at IoU .5 on (up to 100) training images. */
  readonly thresholds: readonly { readonly classId: number; readonly threshold: number; readonly f1: number }[];
}

/**
 * Fine-tunes Grounding DINO on boxes (2.14 of the teacher specification): Hungarian matching, focal, L1 and GIoU losses on every decoder layer, and on the encoder's proposals where
 * something trainable feeds them. Captions hold all class names in an order that changes with every image. The frozen base evaluates; only adapters train. A killed run
 * resumes to the same bytes.
 *
 * Files in `outDir`: the best adapter (PEFT files, `seg_lora.json`), `last/` with the last one, `run/` with checkpoints and `results.csv`. Full fine-tuning writes
 * `model.safetensors` instead of adapters.
 *
 * @throws {@link NoTrainableDataError}, {@link NonFiniteTeacherLossError}, FreezingError, LoraTargetError, MergeError, ResumeMismatchError,
 * {@link PromptTooLongError}, ClassNameError for a class without a phrase; the abort of the signal after saving a checkpoint
 */
export async function fineTuneGroundingDino(options: DetectorFineTuneOptions): Promise<DetectorFineTuneResult> {
  const { model, items, phrases, encode, size, method = "lora", onEvent, signal, seed = 0, resume = false } = options;
  const isSmall = model.config.dModel <= SMALL_WIDTH;
  const { epochs = 50, weightDecay = 1e-4, warmupSteps = 500, classScore = "max" } = options;
  const lr = options.lr ?? (isSmall ? 3e-3 : 1e-4);
  const minLr = options.minLr ?? (isSmall ? 6e-5 : 1e-5);
  const accumulate = options.accumulate ?? (isSmall ? 1 : 2);
  const clip = options.clip ?? (isSmall ? 1 : 0.1);
  const batch = Math.min(options.batch ?? 8, Math.max(items.length, 1));
  const cacheViews = options.cacheViews ?? (options.augmentation === null ? 1 : null);
  const source = new DetectorSource({
    items,
    phrases,
    encode,
    maxTextLength: model.config.maxTextLength,
    size,
    batch,
    seed,
    augmentation: options.augmentation === undefined ? {} : options.augmentation,
    cacheViews,
  });
  if (source.counts.usable === 0) {
    throw new NoTrainableDataError({ images: items.length, instances: source.counts.skipped, needed: "a box" });
  }
  const run = { model, phrases, encode, size, classScore, ...(signal && { signal }) };
  const evaluate = async (when: "before" | "after"): Promise<DetectorEvaluation | null> => {
    if (!options.validation) return null;
    const evaluation = await evaluateGroundingDino({ ...run, items: options.validation });
    onEvent?.({ type: "evaluation", when, evaluation });
    return evaluation;
  };
  const baseHash = weightsHash(model);
  const before = await evaluate("before");

  const handle = method === "full" ? null : adapt(options, isSmall, seed);
  const parameters = handle ? handle.trainableParameters() : model.namedParameters();
  // Counted first: quantised weights are no parameters any more.
  const total = [...model.namedParameters().values()].reduce((sum, p) => sum + p.size, 0);
  if (method === "qlora") onEvent?.({ type: "notice", message: quantizeFrozen(model, { bits: 4 }).summary });
  const trainable = [...parameters.values()].reduce((sum, p) => sum + p.size, 0);
  const steps = epochs * source.stepsPerEpoch;
  const { usable: instances, skipped: skippedInstances } = source.counts;
  onEvent?.({ type: "start", steps, trainable, frozen: total - trainable, instances, skippedInstances });

  const view = new TrainableView(parameters, handle && ((on) => handle.train(on)));
  // The decoder reads detached proposals: adapters in it alone cannot change them.
  const trainsEncoder = [...parameters.keys()].some((name) => !/^(model\.decoder\.|bbox_embed\.)/.test(name));
  const denseWeight = trainsEncoder ? (options.denseWeight ?? (isSmall ? 0.5 : 0)) : 0;
  const network = new SplitNetwork({
    model,
    canvas: source.canvas,
    parameters,
    encoder: trainsEncoder,
    dense: denseWeight > 0,
  });
  const cache = cacheViews === null ? null : featureCache(network, `${baseHash}/${method}`, options);
  if (network.frozen !== "nothing" && cache === null) {
    const message = `Every draw is a new view, so the features of the frozen ${network.frozen} are not cached; cacheViews fixes their number.`;
    onEvent?.({ type: "notice", message });
  }
  const levels = mapSizes(model.config, source.canvas).map(({ height, width }) => [height, width] as const);
  const step = new DetectionStep({
    forward: (inputs) => network.heads(inputs),
    rows: source.rows,
    denseLevels: denseWeight > 0 ? levels : null,
  });
  const updatesPerEpoch = source.stepsPerEpoch;
  const shape = { epochs, stepsPerEpoch: updatesPerEpoch, baseLr: lr };
  const warm = Math.min(warmupSteps * accumulate, Math.ceil(steps / 10));
  const training = new TrainingManager({
    model: view,
    optimizer: adamw({ betas: [0.9, 0.999], weightDecay }),
    groups: [{ name: "lora", parameters, decay: true }],
    lr,
    schedule: schedule({ ...shape, minLr, warmupEpochs: warm / updatesPerEpoch, per: "step" }),
    warmup: warmup({ ...shape, warmupSteps: warm, warmupRatio: 0.01, byEpoch: false }),
    clip: { maxNorm: clip },
    accumulate,
    accumulateReduction: "mean",
  });
  const interval = options.evaluationInterval ?? Math.max(1, Math.round(epochs / 10));
  const task: TrainTask = {
    model: view,
    stepsPerEpoch: source.stepsPerEpoch,
    imagesPerStep: batch,
    async batch(epoch, index) {
      handle?.random.setStep((epoch - 1) * source.stepsPerEpoch + index);
      const { inputs, ...rest } = source.batch(epoch, index);
      const frozen = cache === null ? network.freeze(inputs) : (await cache.freeze(inputs)).inputs;
      const prepared = await step.prepare({ ...rest, inputs: frozen, denseWeight });
      return { loss: step.loss, inputs: prepared, dispose: () => tf.dispose({ ...prepared }) };
    },
    ...(options.validation && {
      evaluate: async () => {
        const { mAP50, mAP, perClass } = await evaluateGroundingDino({ ...run, items: options.validation! });
        const mean = (key: "precision" | "recall") =>
          perClass.reduce((sum, row) => sum + row[key], 0) / perClass.length;
        return { mAP50, "mAP50-95": mAP, precision: mean("precision"), recall: mean("recall") };
      },
    }),
    identity: {
      base: baseHash,
      method,
      phrases: [...phrases],
      targets: handle ? handle.targets.map(({ path }) => path) : [],
      seed,
      batch,
      images: items.length,
      data: dataHash(items),
      // Cached features are rounded, and fixed views are others than new ones.
      ...(cacheViews === null ? {} : { cacheViews, cacheDtype: options.cacheDtype ?? "F16" }),
    },
  };

  const directory = join(options.outDir, "run");
  if (!resume) rmSync(directory, { recursive: true, force: true });
  const checkpoint = {
    save_interval: null,
    save_best: options.validation !== undefined,
    early_stopping: {
      enabled: options.validation !== undefined,
      patience: Math.max(options.patience ?? 15, 3 * interval),
    },
  };
  let end: FitResult | null = null;
  try {
    const events = fit(
      task,
      {
        epochs,
        directory: new RunDirectory(directory),
        training,
        checkpoint,
        evaluation: { interval },
        resume,
        args: argsOf(options, { lr, minLr, accumulate, clip, batch, epochs, denseWeight }),
      },
      signal ? { signal } : {},
    );
    for await (const event of events) {
      if (event.type === "end") end = event.result;
      onEvent?.({ type: "train", event });
    }
  } catch (error) {
    if (error instanceof NonFiniteLossError) {
      throw new NonFiniteTeacherLossError({ step: error.step, parts: { total: error.loss, ...error.parts } });
    }
    if (error instanceof NonFiniteGradientError) {
      throw new NonFiniteTeacherLossError({ step: training.batches, parts: { [error.parameter]: error.value } });
    }
    throw error;
  } finally {
    step.dispose();
    network.dispose();
  }
  if (end === null || end.reason === "aborted") {
    signal?.throwIfAborted();
    throw new Error("Training ended without a result.");
  }

  const save = (dir: string) => {
    if (handle) saveAdapter(handle, dir);
    else writeSafetensors(join(dir, "model.safetensors"), stateDict(model), { metadata: { format: "pt" } });
  };
  const checkpoints = new CheckpointManager(directory, checkpoint);
  if (options.validation && checkpoints.resumeLatest()) {
    loadStateDict(view, checkpoints.load("last").tensors.model);
    save(join(options.outDir, "last"));
    loadStateDict(view, checkpoints.load("best").tensors.model);
  }
  save(options.outDir);
  const sample = items.find((item) => item.instances.length > 0)!;
  // A quantised base cannot take the adapter up; loading it onto the original base merges there.
  const isMergeable = handle !== null && method === "lora";
  const merge = isMergeable ? await checkDetectorMerge(model, sample, { ids: encode(phrases), size }) : null;
  const after = await evaluate("after");
  // On training images: the threshold must not be chosen on what judges it.
  const onTrain = await evaluateGroundingDino({ ...run, items: items.slice(0, THRESHOLD_IMAGES) }).catch(
    ignoreNoObjects,
  );
  const thresholds = onTrain?.perClass.map(({ classId, threshold, f1 }) => ({ classId, threshold, f1 })) ?? [];
  const record = {
    base: { kind: "grounding-dino", sha256: baseHash },
    method,
    seed,
    steps: end.step,
    lr,
    batch,
    phrases,
    merge,
    thresholds,
    before,
    after,
  };
  writeFileAtomic(join(options.outDir, "seg_lora.json"), [
    new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`),
  ]);
  return { handle, reason: end.reason, steps: end.step, before, after, merge, thresholds };
}

/** Quantised weights are no parameters: the method says that they are rounded. */
function featureCache(
  network: SplitNetwork,
  weights: string,
  { cacheDir, cacheDtype = "F16" }: DetectorFineTuneOptions,
): FeatureCache {
  return new FeatureCache({ network, weights, directory: cacheDir ?? null, dtype: cacheDtype });
}

/** The first images may happen to be empty ones. */
function ignoreNoObjects(error: unknown): null {
  if (NoTrainableDataError.isInstance(error) && (error as NoTrainableDataError).code === "teachers/no-trainable-data")
    return null;
  throw error;
}

/** Injects and verifies the adapters. */
function adapt(options: DetectorFineTuneOptions, isSmall: boolean, seed: number): LoraHandle {
  const preset = options.preset ?? (isSmall ? "neck-full" : "self-attn");
  const config: LoraConfigInput = {
    r: isSmall ? 4 : 16,
    loraAlpha: isSmall ? 8 : 32,
    loraDropout: isSmall ? 0 : 0.1,
    targetModules: groundingDinoTargets(preset),
    ...options.lora,
  };
  const handle = injectLora(options.model, config, { seed });
  verifyFreezing(options.model, {
    maxRatio: options.maxTrainableRatio ?? 0.05,
    allow: handle.allow,
    optimised: handle.trainableParameters().values(),
  });
  return handle;
}

/** SHA-256 over pixels, boxes and classes. */
function dataHash(items: readonly DetectorItem[]): string {
  const hash = createHash("sha256");
  for (const { image, instances } of items) {
    hash.update(image.data);
    hash.update(JSON.stringify([image.width, image.height, instances.map(({ classId, box }) => [classId, ...box])]));
  }
  return hash.digest("hex");
}

function argsOf(options: DetectorFineTuneOptions, resolved: JsonObject): JsonObject {
  const {
    method = "lora",
    preset,
    lora,
    weightDecay = 1e-4,
    warmupSteps = 500,
    seed = 0,
    classScore = "max",
  } = options;
  const settings = {
    method,
    preset: preset ?? null,
    lora: lora ?? null,
    ...resolved,
    weightDecay,
    warmupSteps,
    seed,
    classScore,
  };
  return JSON.parse(JSON.stringify(settings)) as JsonObject;
}
