import type { Parameter } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { type SamLossWeights, samLoss } from "./loss.js";
import type { Sam } from "./sam.js";

/** One batch in host memory. Sizes stay the same over a run, so that an engine compiles one step and repeats it. */
export interface SamBatch {
  readonly images: number;
  readonly prompts: number;
  /** Either pixels [B, S, S, 3] (the encoder is part of the step) or cached embeddings [B, g, g, C]. */
  readonly pixels?: Float32Array;
  readonly embeddings?: Float32Array;
  /** [B, P, 4] xyxy in pixels of the model image. */
  readonly boxes: Float32Array;
  /** [B, P, 4g, 4g] in [0, 1]. */
  readonly targets: Float32Array;
  /** [B, 4g, 4g], 0 in the padding. Absent when no image of the run has padding. */
  readonly valid?: Float32Array;
}

/** What {@link samTrainStep} measured. */
export interface SamStepResult {
  readonly total: number;
  readonly parts: Readonly<Record<"bce" | "focal" | "dice" | "iou", number>>;
  /** By the names of `parameters`. */
  readonly grads: ReadonlyMap<string, Float32Array>;
}

/**
 * Loss and gradients of one batch. Everything is recorded before the first value is read, so a lazy backend runs it as one graph.
 * Nothing is updated.
 */
export async function samTrainStep({
  sam,
  parameters,
  batch,
  weights,
  multimask = false,
}: {
  readonly sam: Sam;
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly batch: SamBatch;
  readonly weights: SamLossWeights;
  /** @defaultValue false */
  readonly multimask?: boolean;
}): Promise<SamStepResult> {
  const { imageSize, patchSize, outputChannels } = sam.config.vision;
  const grid = imageSize / patchSize;
  const fine = 4 * grid;
  const { images, prompts } = batch;
  const names = new Map([...parameters].map(([path, parameter]) => [parameter.variable.name, path]));
  const scalars: tf.Scalar[] = [];
  const { value, grads } = tf.tidy(() =>
    tf.variableGrads(
      () => {
        const imageEmbeddings = batch.embeddings
          ? tf.tensor4d(batch.embeddings, [images, grid, grid, outputChannels])
          : sam.encodeImage(tf.tensor4d(batch.pixels!, [images, imageSize, imageSize, 3]));
        const boxes = tf.tensor3d(batch.boxes, [images, prompts, 4]);
        const { lowResMasks, iou } = sam.predictMasks({ imageEmbeddings, boxes, multimask });
        const targets = tf.tensor4d(batch.targets, [images, prompts, fine, fine]);
        const valid = batch.valid && tf.tensor3d(batch.valid, [images, fine, fine]);
        const { total, parts } = samLoss({ logits: lowResMasks, iou, targets, weights, ...(valid && { valid }) });
        for (const key of PARTS) scalars.push(tf.keep(parts[key]));
        return total;
      },
      [...parameters.values()].map((parameter) => parameter.variable),
    ),
  );
  try {
    const total = (await value.data())[0]!;
    const read = await Promise.all(scalars.map(async (scalar) => (await scalar.data())[0]!));
    const result = new Map<string, Float32Array>();
    for (const [variable, grad] of Object.entries(grads)) {
      result.set(names.get(variable)!, (await grad.data()) as Float32Array);
    }
    const parts = Object.fromEntries(PARTS.map((key, i) => [key, read[i]!])) as Record<(typeof PARTS)[number], number>;
    return { total, parts, grads: result };
  } finally {
    tf.dispose([value, scalars, grads]);
  }
}

const PARTS = ["bce", "focal", "dice", "iou"] as const;
