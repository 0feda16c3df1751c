import { createHash } from "node:crypto";
import { join } from "node:path";
import type { LoraConfigInput, LoraHandle } from "@seg/lora";
import { weightsHash, writeFileAtomic } from "@seg/nn";
import { adamw, clipCoefficient, gradStats, type OptimizerState } from "@seg/train";
import { NonFiniteTeacherLossError, NoTrainableDataError } from "../errors.js";
import { BatchSource, type SamAugmentation } from "./batch-source.js";
import { EmbeddingCache } from "./embedding-cache.js";
import { evaluateSam, type SamEvaluation, type SamItem } from "./evaluate.js";
import { type FineTuneProgress, loadFineTune, removeFineTune, saveFineTune } from "./fine-tune-checkpoint.js";
import { type SamPreset, samTargets } from "./lora-presets.js";
import { type SamLossWeights, SCRATCH_LOSS } from "./loss.js";
import { checkMerge, type MergeCheck } from "./merge-check.js";
import { PromptSampler } from "./prompt-sampler.js";
import type { Sam } from "./sam.js";
import type { BoxJitter } from "./targets.js";
import { SamTrainStep } from "./train-step.js";
import { prepareTraining, type TrainingMethod } from "./trainable.js";
import { type SamZoom, zoomedItems } from "./zoom.js";

/** What happens during {@link fineTuneSam}. */
export type SamFineTuneEvent =
  | {
      readonly type: "start";
      readonly steps: number;
      readonly trainable: number;
      readonly frozen: number;
      readonly instances: number;
      /** Instances without a usable mask. */
      readonly skippedInstances: number;
      /** Steps that a resumed run finds done. */
      readonly done: number;
    }
  | { readonly type: "notice"; readonly message: string }
  | { readonly type: "embedding"; readonly done: number; readonly total: number; readonly computed: boolean }
  | { readonly type: "evaluation"; readonly when: "before" | "during" | "after"; readonly evaluation: SamEvaluation }
  | {
      readonly type: "step";
      /** Steps done, from 1. */
      readonly step: number;
      readonly steps: number;
      readonly loss: number;
      readonly parts: Readonly<Record<"bce" | "focal" | "dice" | "iou", number>>;
      readonly gradNorm: number;
      readonly lr: number;
    };

/** Settings of {@link fineTuneSam}. */
export interface SamFineTuneOptions {
  /** Receives the adapters; its base weights stay as they are unless `method` is `full`. */
  readonly sam: Sam;
  readonly items: readonly SamItem[];
  /** @defaultValue "lora" */
  readonly method?: TrainingMethod;
  /** Adapted layers; `lora.targetModules` wins. @defaultValue "decoder-self"; "decoder-attn-mlp" for decoders up to 128 wide */
  readonly preset?: SamPreset;
  /** @defaultValue r 8, alpha 16 */
  readonly lora?: Partial<LoraConfigInput>;
  /** Rounds over the images; `steps` wins. @defaultValue 100 */
  readonly epochs?: number;
  readonly steps?: number;
  /** Images per step. @defaultValue 4 */
  readonly batch?: number;
  /** Box prompts per image. @defaultValue 5 */
  readonly prompts?: number;
  /** @defaultValue 3e-3 for decoders up to 128 wide (measured on the small SAM), else 5e-4; a tenth of it for every weight */
  readonly lr?: number;
  /** @defaultValue 0.01 */
  readonly weightDecay?: number;
  /** Largest gradient norm. @defaultValue 1 */
  readonly clip?: number;
  /** @defaultValue SCRATCH_LOSS; `focal` may be added where masks exist already */
  readonly loss?: SamLossWeights;
  /** Train the three alternative masks instead of the single one. @defaultValue false */
  readonly multimask?: boolean;
  /** Trainable share of the frozen parameters that is still accepted. @defaultValue 0.05 */
  readonly maxTrainableRatio?: number;
  readonly seed?: number;
  /** Evaluated before and after. @defaultValue no evaluation */
  readonly validation?: readonly SamItem[];
  /**
   * Steps between evaluations of `validation`. With it the adapter of the best mask IoU is what the run ends with, `best/` and `last/` are kept in `outDir`, and the run
   * stops early. @defaultValue only before and after
   */
  readonly evaluateEvery?: number;
  /** Evaluations in a row that gain less than `minDelta` mask IoU, after which the run stops. @defaultValue 15 */
  readonly patience?: number;
  /** @defaultValue 0.001 */
  readonly minDelta?: number;
  /** Where the adapter is written (PEFT files and `seg_lora.json`). @defaultValue not written */
  readonly outDir?: string;
  /** Steps between checkpoints in `outDir`; an aborted run leaves one as well, a finished one none. @defaultValue 200 */
  readonly checkpointEvery?: number;
  /** Goes on from the checkpoint in `outDir`, or begins when there is none; ends with the same bytes as an uninterrupted run. @defaultValue false */
  readonly resume?: boolean;
  /**
   * Trains on a window around each object, and evaluates so: predict with the same value. A step then takes `batch * prompts` windows with one box each.
   * @defaultValue null: whole images
   */
  readonly zoom?: SamZoom | null;
  /** Keeps image embeddings between runs. @defaultValue memory only */
  readonly cacheDir?: string;
  /** Stored type of cached embeddings. @defaultValue "F32" */
  readonly cacheDtype?: "F32" | "F16";
  /**
   * How far prompt boxes move. Boxes at inference that are as exact as annotations call for less. @defaultValue N(0, (.1 side)^2) per coordinate, at most a quarter of the
   * side, and 20 of 1024 pixels on models of 512 px and more
   */
  readonly jitter?: BoxJitter;
  /** Other views of an image. Without `cacheViews` every draw is a new view and runs the encoder. @defaultValue the image and its mirror image */
  readonly augment?: SamAugmentation;
  /** Views of each item that are drawn from (seed, number) once and cached. */
  readonly cacheViews?: number;
  readonly onEvent?: (event: SamFineTuneEvent) => void;
  readonly signal?: AbortSignal;
}

/** Result of {@link fineTuneSam}. */
export interface SamFineTuneResult {
  /** The model with adapters, not merged; null after full fine-tuning. */
  readonly handle: LoraHandle | null;
  /** Steps done; fewer than planned after an early stop. */
  readonly steps: number;
  readonly stoppedEarly: boolean;
  /** Step of the adapter that was kept: the best evaluated one, else the last. */
  readonly keptStep: number;
  readonly losses: readonly number[];
  readonly before: SamEvaluation | null;
  readonly after: SamEvaluation | null;
  /** Null where nothing can be merged: after full fine-tuning, and on a base in 4 bits (the adapter merges into the original one). */
  readonly merge: MergeCheck | null;
}

/**
 * Fine-tuning on box prompts, by default LoRA on the mask decoder (2.14 of the teacher specification). A frozen encoder runs once per image and mirrored image, in full precision; steps
 * then cost the decoder alone. Boxes are the annotated ones with jitter, since detector boxes err in both directions; classes are prompted
 * evenly. Deterministic for a seed and backend.
 *
 * @throws {@link NoTrainableDataError}, {@link NonFiniteTeacherLossError}, ResumeMismatchError, FreezingError, LoraTargetError, MergeError; AbortError of the
 * signal, after a checkpoint has been written
 */
export async function fineTuneSam(options: SamFineTuneOptions): Promise<SamFineTuneResult> {
  const { sam, method = "lora", weightDecay = 0.01, clip = 1, seed = 0, zoom = null } = options;
  // A window shows one object: as many windows then as a step of whole images has prompts.
  const items = zoom ? zoomedItems(options.items, zoom) : options.items;
  const prompts = zoom ? 1 : (options.prompts ?? 5);
  const images = (options.batch ?? 4) * (zoom ? (options.prompts ?? 5) : 1);
  const { loss: weights = SCRATCH_LOSS, multimask = false, maxTrainableRatio = 0.05, onEvent, signal } = options;
  const { validation, evaluateEvery, patience = 15, minDelta = 0.001, outDir, checkpointEvery = 200 } = options;
  const isSmall = sam.config.decoder.hiddenSize <= 128;
  const peak = options.lr ?? (isSmall ? 3e-3 : 5e-4) * (method === "full" ? 0.1 : 1);
  const steps =
    options.steps ?? (options.epochs ?? 100) * Math.max(1, Math.ceil(options.items.length / (options.batch ?? 4)));
  const sampler = new PromptSampler(items, seed);
  if (sampler.usable === 0) {
    throw new NoTrainableDataError({ images: options.items.length, instances: sampler.skipped, needed: "a mask" });
  }
  const targets = samTargets(options.preset ?? (isSmall ? "decoder-attn-mlp" : "decoder-self"));
  const lora = { r: 8, loraAlpha: 16, targetModules: targets, ...options.lora };
  const baseHash = weightsHash(sam);
  const identity = {
    base: baseHash,
    items: itemsHash(items),
    method,
    ...{ seed, steps, batch: images, prompts, lr: peak, weightDecay, clip, weights, multimask, lora },
    ...{ evaluateEvery: evaluateEvery ?? null, patience, minDelta, cacheDtype: options.cacheDtype ?? "F32" },
    cacheViews: options.cacheViews ?? null,
    jitter: options.jitter ?? null,
    zoom,
  };
  const evaluate = async (when: "before" | "during" | "after"): Promise<SamEvaluation> => {
    const evaluation = await evaluateSam({ sam, items: validation!, multimask, zoom, ...(signal && { signal }) });
    onEvent?.({ type: "evaluation", when, evaluation });
    return evaluation;
  };
  // Read before anything is computed: a checkpoint of another run is an error at once.
  const slots: OptimizerState = new Map();
  const found = outDir !== undefined && options.resume ? loadFineTune(outDir, identity, slots) : null;
  let progress: FineTuneProgress = found?.progress ?? {
    ...{ step: 0, losses: [], stale: 0, best: null },
    before: validation ? await evaluate("before") : null,
  };
  // Keyed by the encoder's weights, so before they are quantised.
  const cache = new EmbeddingCache({
    sam,
    directory: options.cacheDir ?? null,
    ...(options.cacheDtype && { dtype: options.cacheDtype }),
  });
  const encoderTrains = method === "full" || [lora.targetModules].flat().some((name) => /vision_encoder/.test(name));
  const source = new BatchSource({
    ...{ sam, items, sampler, cache, seed, encoderTrains },
    ...(options.jitter && { jitter: options.jitter }),
    ...(options.augment && { augment: options.augment }),
    ...(options.cacheViews !== undefined && { cacheViews: options.cacheViews }),
  });
  if (!source.isCached) {
    const message = encoderTrains
      ? "The encoder trains, so image embeddings are not cached."
      : "Every draw is a new view, so image embeddings are not cached; cacheViews fixes their number.";
    onEvent?.({ type: "notice", message });
  }
  await source.warm((done) => onEvent?.({ type: "embedding", ...done }), signal);

  const trainable = prepareTraining(sam, { method, lora, seed, maxTrainableRatio });
  const { parameters, groups } = trainable;
  if (trainable.quantization !== null) onEvent?.({ type: "notice", message: trainable.quantization });
  onEvent?.({
    type: "start",
    steps,
    done: progress.step,
    ...trainable.counts,
    instances: sampler.usable,
    skippedInstances: sampler.skipped,
  });
  const values = new Map<string, { data: Float32Array }>();
  const assign = (next: ReadonlyMap<string, Float32Array>): void => {
    for (const [name, data] of next) {
      values.set(name, { data });
      // A copy: the engine may keep what it is given.
      parameters.get(name)!.assign(Float32Array.from(data));
    }
  };
  for (const [name, parameter] of parameters) values.set(name, { data: Float32Array.from(parameter.data()) });
  if (found) assign(found.values);
  const optimizer = adamw({ betas: [0.9, 0.999], weightDecay });
  const state = optimizer.init(values);
  for (const [name, slot] of slots) state.get(name)!.set(slot);
  let best = found?.best ?? null;
  const current = (): Map<string, Float32Array> => new Map([...values].map(([name, { data }]) => [name, data]));
  const losses = [...progress.losses];
  const save = (): void => {
    if (outDir === undefined) return;
    progress = { ...progress, losses: [...losses] };
    saveFineTune(outDir, { values: current(), best, optimizer: state }, progress, identity);
  };

  const trainStep = new SamTrainStep({ sam, parameters, weights, multimask });
  try {
    while (progress.step < steps && progress.stale < patience) {
      if (signal?.aborted) save();
      signal?.throwIfAborted();
      const { step } = progress;
      const result = await trainStep.run(await source.batch(step, images, prompts));
      // The engine computes synchronously: give signal handlers their turn.
      await new Promise((resolve) => setImmediate(resolve));
      const { norm } = gradStats(result.grads);
      if (!Number.isFinite(result.total) || !Number.isFinite(norm)) {
        throw new NonFiniteTeacherLossError({ step, parts: { total: result.total, ...result.parts, gradNorm: norm } });
      }
      const lr = peak * rateFactor(step, steps);
      const gradScale = clipCoefficient(norm, clip);
      assign(optimizer.update({ params: values, grads: result.grads, state, groups, lr: () => lr, gradScale }));
      losses.push(result.total);
      progress = { ...progress, step: step + 1 };
      onEvent?.({ type: "step", step: step + 1, steps, loss: result.total, parts: result.parts, gradNorm: norm, lr });
      if (
        validation &&
        evaluateEvery !== undefined &&
        (progress.step % evaluateEvery === 0 || progress.step === steps)
      ) {
        const evaluation = await evaluate("during");
        const gain = evaluation.meanIou - (progress.best?.evaluation.meanIou ?? Number.NEGATIVE_INFINITY);
        if (gain > 0) {
          best = new Map([...current()].map(([name, data]) => [name, Float32Array.from(data)]));
          progress = { ...progress, best: { step: progress.step, evaluation } };
          if (outDir !== undefined) trainable.save(join(outDir, "best"));
        }
        progress = { ...progress, stale: gain > minDelta ? 0 : progress.stale + 1 };
        if (outDir !== undefined) trainable.save(join(outDir, "last"));
      }
      if (progress.step % checkpointEvery === 0 && progress.step < steps) save();
    }
  } finally {
    trainStep.dispose();
  }
  if (best) assign(best);
  const merge = method === "lora" ? await checkMerge(sam, items.find(({ instances }) => instances.length > 0)!) : null;
  const { before } = progress;
  // The kept adapter has been evaluated already where there were evaluations.
  const after = progress.best?.evaluation ?? (validation ? await evaluate("after") : null);
  if (progress.best) onEvent?.({ type: "evaluation", when: "after", evaluation: progress.best.evaluation });
  const keptStep = progress.best?.step ?? progress.step;
  const stoppedEarly = progress.step < steps;
  if (outDir !== undefined) {
    trainable.save(outDir);
    const record = {
      base: { kind: "sam", sha256: baseHash },
      data: {
        sha256: identity.items,
        images: options.items.length,
        instances: sampler.usable,
        skipped: sampler.skipped,
      },
      method,
      targets: trainable.handle?.targets.length ?? 0,
      skipped: trainable.handle?.skipped ?? [],
      ...{
        seed,
        steps: progress.step,
        keptStep,
        stoppedEarly,
        lr: peak,
        batch: images,
        prompts,
        zoom,
        merge,
        before,
        after,
      },
    };
    writeFileAtomic(join(outDir, "seg_lora.json"), [new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`)]);
    removeFineTune(outDir);
  }
  return { handle: trainable.handle, steps: progress.step, stoppedEarly, keptStep, losses, before, after, merge };
}

/** SHA-256 of pictures, boxes, classes and masks in order. */
function itemsHash(items: readonly SamItem[]): string {
  const hash = createHash("sha256");
  for (const { image, instances } of items) {
    hash.update(`${image.width}x${image.height}`).update(image.data);
    for (const { classId, box, mask } of instances) {
      hash.update(JSON.stringify([classId, box, mask ? [mask.size, [...mask.counts]] : null]));
    }
  }
  return hash.digest("hex");
}

/** Linear warm-up over 10 % of the run (at most 100 steps), then one cosine to 2 %. */
function rateFactor(step: number, steps: number): number {
  const warmup = Math.min(100, Math.ceil(steps / 10));
  if (step < warmup) return (step + 1) / warmup;
  return 0.02 + (0.98 * (1 + Math.cos((Math.PI * (step - warmup)) / Math.max(steps - warmup, 1)))) / 2;
}
