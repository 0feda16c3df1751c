import { join } from "node:path";
import { type Box, mask as maskAlgebra } from "@seg/coco-dataset";
import { injectLora, type LoraConfigInput, type LoraHandle, saveAdapter, verifyFreezing } from "@seg/lora";
import { writeFileAtomic } from "@seg/nn";
import { type Geometry, mapBoxToModel } from "@seg/preprocess";
import { adamw, clipCoefficient, gradStats } from "@seg/train";
import { NonFiniteTeacherLossError, NoTrainableDataError } from "../errors.js";
import { embeddingSide } from "./config.js";
import { EmbeddingCache } from "./embedding-cache.js";
import { evaluateSam, type SamEvaluation, type SamItem } from "./evaluate.js";
import { type SamLossWeights, SCRATCH_LOSS } from "./loss.js";
import { checkMerge, type MergeCheck } from "./merge-check.js";
import { samPixels } from "./predict.js";
import { PromptSampler } from "./prompt-sampler.js";
import type { Sam } from "./sam.js";
import { jitterBox, maskTarget, mirrorBox, validCells } from "./targets.js";
import { type SamBatch, SamTrainStep } from "./train-step.js";
import { weightsHash } from "./weights-hash.js";

/** Attention projections and MLPs of the mask decoder. */
export const SAM_LORA_TARGETS = [
  "mask_decoder.transformer.**.q_proj",
  "mask_decoder.transformer.**.k_proj",
  "mask_decoder.transformer.**.v_proj",
  "mask_decoder.transformer.**.out_proj",
  "mask_decoder.transformer.layers.*.mlp.lin1",
  "mask_decoder.transformer.layers.*.mlp.lin2",
] as const;

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
    }
  | { readonly type: "embedding"; readonly done: number; readonly total: number; readonly computed: boolean }
  | { readonly type: "evaluation"; readonly when: "before" | "after"; readonly evaluation: SamEvaluation }
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
  /** Receives the adapters; its base weights stay as they are. */
  readonly sam: Sam;
  readonly items: readonly SamItem[];
  /** @defaultValue r 8, alpha 16 on {@link SAM_LORA_TARGETS} */
  readonly lora?: Partial<LoraConfigInput>;
  /** Rounds over the images; `steps` wins. @defaultValue 100 */
  readonly epochs?: number;
  readonly steps?: number;
  /** Images per step. @defaultValue 4 */
  readonly batch?: number;
  /** Box prompts per image. @defaultValue 5 */
  readonly prompts?: number;
  /** @defaultValue 3e-3 for decoders up to 128 wide (measured on the small SAM), else 5e-4 */
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
  /** Where the adapter is written (PEFT files and `seg_lora.json`). @defaultValue not written */
  readonly outDir?: string;
  /** Keeps image embeddings between runs. @defaultValue memory only */
  readonly cacheDir?: string;
  readonly onEvent?: (event: SamFineTuneEvent) => void;
  readonly signal?: AbortSignal;
}

/** Result of {@link fineTuneSam}. */
export interface SamFineTuneResult {
  /** The model with adapters, not merged. */
  readonly handle: LoraHandle;
  readonly steps: number;
  readonly losses: readonly number[];
  readonly before: SamEvaluation | null;
  readonly after: SamEvaluation | null;
  readonly merge: MergeCheck;
}

/**
 * LoRA fine-tuning of the mask decoder on box prompts (2.14 of the teacher specification). The frozen encoder runs once per image and mirrored image; steps
 * then cost the decoder alone. Boxes are the annotated ones with jitter, since detector boxes err in both directions; classes are prompted
 * evenly. Deterministic for a seed and backend.
 *
 * @throws {@link NoTrainableDataError}, {@link NonFiniteTeacherLossError}, FreezingError, LoraTargetError, MergeError; AbortError of the signal
 */
export async function fineTuneSam(options: SamFineTuneOptions): Promise<SamFineTuneResult> {
  const { sam, items, batch: images = 4, prompts = 5, weightDecay = 0.01, clip = 1, seed = 0 } = options;
  const { loss: weights = SCRATCH_LOSS, multimask = false, maxTrainableRatio = 0.05, onEvent, signal } = options;
  const peak = options.lr ?? (sam.config.decoder.hiddenSize <= 128 ? 3e-3 : 5e-4);
  const steps = options.steps ?? (options.epochs ?? 100) * Math.max(1, Math.ceil(items.length / images));
  const sampler = new PromptSampler(items, seed);
  if (sampler.usable === 0) {
    throw new NoTrainableDataError({ images: items.length, instances: sampler.skipped, needed: "a mask" });
  }
  const baseHash = weightsHash(sam);
  const evaluate = async (when: "before" | "after"): Promise<SamEvaluation | null> => {
    if (!options.validation) return null;
    const evaluation = await evaluateSam({ sam, items: options.validation, multimask, ...(signal && { signal }) });
    onEvent?.({ type: "evaluation", when, evaluation });
    return evaluation;
  };
  const before = await evaluate("before");
  const cache = new EmbeddingCache({ sam, directory: options.cacheDir ?? null });
  const source = new BatchSource({ sam, items, sampler, cache });
  await source.warm(onEvent, signal);

  const lora = { r: 8, loraAlpha: 16, targetModules: [...SAM_LORA_TARGETS], ...options.lora };
  const handle = injectLora(sam, lora, { seed });
  const parameters = handle.trainableParameters();
  const counts = verifyFreezing(sam, {
    maxRatio: maxTrainableRatio,
    allow: handle.allow,
    optimised: parameters.values(),
  });
  onEvent?.({
    type: "start",
    steps,
    trainable: counts.trainable,
    frozen: counts.frozen,
    instances: sampler.usable,
    skippedInstances: sampler.skipped,
  });
  const values = new Map<string, { data: Float32Array }>();
  for (const [name, parameter] of parameters) values.set(name, { data: Float32Array.from(parameter.data()) });
  const groups = [{ name: "lora", parameters, decay: true }];
  const optimizer = adamw({ betas: [0.9, 0.999], weightDecay });
  const state = optimizer.init(values);
  const losses: number[] = [];
  const trainStep = new SamTrainStep({ sam, parameters, weights, multimask });
  for (let step = 0; step < steps; step++) {
    signal?.throwIfAborted();
    const batch = await source.batch(step, images, prompts);
    const result = await trainStep.run(batch);
    // The engine computes synchronously: give signal handlers their turn.
    await new Promise((resolve) => setImmediate(resolve));
    const { norm } = gradStats(result.grads);
    if (!Number.isFinite(result.total) || !Number.isFinite(norm)) {
      throw new NonFiniteTeacherLossError({ step, parts: { total: result.total, ...result.parts, gradNorm: norm } });
    }
    const lr = peak * rateFactor(step, steps);
    const updated = optimizer.update({
      params: values,
      grads: result.grads,
      state,
      groups,
      lr: () => lr,
      gradScale: clipCoefficient(norm, clip),
    });
    for (const [name, data] of updated) {
      values.set(name, { data });
      parameters.get(name)!.assign(Float32Array.from(data));
    }
    losses.push(result.total);
    onEvent?.({ type: "step", step: step + 1, steps, loss: result.total, parts: result.parts, gradNorm: norm, lr });
  }
  trainStep.dispose();
  const merge = await checkMerge(sam, items.find(({ instances }) => instances.length > 0)!);
  const after = await evaluate("after");
  if (options.outDir !== undefined) {
    saveAdapter(handle, options.outDir);
    const record = {
      base: { kind: "sam", sha256: baseHash },
      seed,
      steps,
      lr: peak,
      batch: images,
      prompts,
      merge,
      before,
      after,
    };
    writeFileAtomic(join(options.outDir, "seg_lora.json"), [
      new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`),
    ]);
  }
  return { handle, steps, losses, before, after, merge };
}

/** Linear warm-up over 10 % of the run (at most 100 steps), then one cosine to 2 %. */
function rateFactor(step: number, steps: number): number {
  const warmup = Math.min(100, Math.ceil(steps / 10));
  if (step < warmup) return (step + 1) / warmup;
  return 0.02 + (0.98 * (1 + Math.cos((Math.PI * (step - warmup)) / Math.max(steps - warmup, 1)))) / 2;
}

/** Assembles batches from cached embeddings; soft targets are kept as bytes, 255 levels are finer than the labels. */
class BatchSource {
  readonly #sam: Sam;
  readonly #items: readonly SamItem[];
  readonly #sampler: PromptSampler;
  readonly #cache: EmbeddingCache;
  readonly #geometry: Geometry[];
  readonly #hasPadding: boolean;
  readonly #targets = new Map<string, Uint8Array>();

  constructor({
    sam,
    items,
    sampler,
    cache,
  }: {
    sam: Sam;
    items: readonly SamItem[];
    sampler: PromptSampler;
    cache: EmbeddingCache;
  }) {
    this.#sam = sam;
    this.#items = items;
    this.#sampler = sampler;
    this.#cache = cache;
    this.#geometry = items.map(({ image }) => samPixels(image, sam.config.vision.imageSize).geometry);
    this.#hasPadding = this.#geometry.some(({ padR, padB }) => padR > 0 || padB > 0);
  }

  /** Computes every embedding once. */
  async warm(onEvent: SamFineTuneOptions["onEvent"], signal: AbortSignal | undefined): Promise<void> {
    const total = 2 * this.#items.length;
    let done = 0;
    for (const { image } of this.#items) {
      for (const mirrored of [false, true]) {
        signal?.throwIfAborted();
        const { computed } = await this.#cache.get(image, mirrored);
        done++;
        onEvent?.({ type: "embedding", done, total, computed });
      }
    }
  }

  async batch(step: number, images: number, prompts: number): Promise<SamBatch> {
    const grid = embeddingSide(this.#sam.config);
    const size = grid * grid * this.#sam.config.vision.outputChannels;
    const fine = 4 * grid;
    const embeddings = new Float32Array(images * size);
    const boxes = new Float32Array(images * prompts * 4);
    const targets = new Float32Array(images * prompts * fine * fine);
    const valid = this.#hasPadding ? new Float32Array(images * fine * fine) : null;
    const jitter = { relative: 0.1, limit: 0.25, limitPixels: (20 * this.#sam.config.vision.imageSize) / 1024 };
    // 20 px of 1024 would hardly move a box of a 128 px model: there the share of the side alone limits.
    if (this.#sam.config.vision.imageSize < 512) jitter.limitPixels = Number.POSITIVE_INFINITY;
    for (let i = 0; i < images; i++) {
      const { item, instances, mirrored, random } = this.#sampler.draw(step * images + i, prompts);
      const { image, instances: objects } = this.#items[item]!;
      const geometry = this.#geometry[item]!;
      embeddings.set((await this.#cache.get(image, mirrored)).embedding, i * size);
      valid?.set(validCells(geometry, fine), i * fine * fine);
      const bounds = { width: geometry.contentW, height: geometry.contentH };
      for (let p = 0; p < prompts; p++) {
        const index = instances[p]!;
        const given = objects[index]!.box;
        const box: Box = mapBoxToModel(mirrored ? mirrorBox(given, image.width) : given, geometry);
        boxes.set(jitterBox(box, random, bounds, jitter), 4 * (i * prompts + p));
        const target = this.#target(item, index, mirrored, fine);
        const offset = (i * prompts + p) * fine * fine;
        for (let k = 0; k < target.length; k++) targets[offset + k] = target[k]! / 255;
      }
    }
    return { images, prompts, embeddings, boxes, targets, ...(valid && { valid }) };
  }

  #target(item: number, index: number, mirrored: boolean, side: number): Uint8Array {
    const key = `${item},${index},${mirrored}`;
    let target = this.#targets.get(key);
    if (!target) {
      const pixels = maskAlgebra.decode(this.#items[item]!.instances[index]!.mask!);
      const soft = maskTarget({ pixels, geometry: this.#geometry[item]!, side, mirrored });
      target = Uint8Array.from(soft, (value) => Math.round(255 * value));
      this.#targets.set(key, target);
    }
    return target;
  }
}
