import { type CompiledFunction, compile } from "@seg/tfjs-onnxruntime";
import type { BatchTensors, LossFunction } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { denseLoss } from "./dense-loss.js";
import { denseTargets } from "./dense-targets.js";
import { type Detections, type DetectionTargets, matchCosts } from "./match-costs.js";
import { matchMatrix, matchQueries } from "./match-queries.js";
import { type SetLoss, setLoss, weightedLoss } from "./set-loss.js";
import { type DetectionTarget, targetArrays } from "./targets.js";

/** What the losses read of a forward pass. */
export interface DetectionHeads {
  /** Predictions after each decoder layer, the final one last. */
  readonly decoder: readonly Detections[];
  /** The selected encoder proposals with a way back for gradients; null where no trainable weight feeds them. */
  readonly encoder: Detections | null;
  /** All encoder tokens, for the one-to-many loss. */
  readonly dense?: (Detections & { readonly usable: tf.Tensor2D }) | null;
}

/** A batch before matching. */
export interface DetectionBatch {
  /** What the network reads. The step disposes them with the rest. */
  readonly inputs: BatchTensors;
  readonly targets: readonly DetectionTarget[];
  /** Per image and phrase: columns of its tokens. */
  readonly phraseTokens: readonly (readonly (readonly number[])[])[];
  /** [B, N], 1 for tokens that are no padding. */
  readonly textMask: Float32Array;
  /** Factor of the one-to-many loss. @defaultValue 1 */
  readonly denseWeight?: number;
}

/** Batch tensors that {@link DetectionStep} adds to those of the network. */
const PREFIX = "target/";

/**
 * One training step in two engine runs: a forward pass that yields the matching costs of all heads, the matching on the host, then forward and backward under these matches.
 * Keeping the activations between the runs is not possible and matches of another step are not allowed; the extra forward pass is the price.
 *
 * The total is the sum over decoder layers, encoder proposals and (weighted) encoder tokens of 2 ce + 5 bbox + 2 giou.
 */
export class DetectionStep {
  readonly #forward: (inputs: BatchTensors) => DetectionHeads;
  readonly #rows: number;
  readonly #levels: readonly (readonly [number, number])[] | null;
  readonly #costs: CompiledFunction<[{ [name: string]: tf.Tensor }], tf.Tensor>;
  /** For `TrainingManager.step`, with the inputs of {@link prepare}. */
  readonly loss: LossFunction;

  /**
   * @param forward - runs under differentiation and in compiled functions: everything that changes comes through its argument
   * @param rows - most objects of an image
   * @param denseLevels - maps of the encoder, finest first; with them the forward pass must yield `dense`
   */
  constructor({
    forward,
    rows,
    denseLevels = null,
  }: {
    readonly forward: (inputs: BatchTensors) => DetectionHeads;
    readonly rows: number;
    readonly denseLevels?: readonly (readonly [number, number])[] | null;
  }) {
    this.#forward = forward;
    this.#rows = rows;
    this.#levels = denseLevels;
    this.#costs = compile((inputs: BatchTensors) => tf.tidy(() => this.#allCosts(inputs)), {
      name: "the matching costs",
    });
    this.loss = (inputs) => this.#loss(inputs);
  }

  /**
   * Matches the batch with the weights as they are and returns the inputs of {@link loss}; the caller disposes them.
   * @throws RangeError when an image has more objects than rows
   */
  async prepare({ inputs, targets, phraseTokens, textMask, denseWeight = 1 }: DetectionBatch): Promise<BatchTensors> {
    const batch = targets.length;
    const rows = this.#rows;
    const columns = textMask.length / batch;
    const arrays = targetArrays({ targets, phraseTokens, rows, columns });
    const tensors: Record<string, tf.Tensor> = {
      ...inputs,
      [`${PREFIX}boxes`]: tf.tensor3d(arrays.boxes, [batch, rows, 4]),
      [`${PREFIX}valid`]: tf.tensor2d(arrays.valid, [batch, rows]),
      [`${PREFIX}tokens`]: tf.tensor3d(arrays.tokens, [batch, rows, columns]),
      [`${PREFIX}textMask`]: tf.tensor2d(textMask, [batch, columns]),
    };
    const costs = this.#costs(tensors);
    const [heads, , , queries] = costs.shape as [number, number, number, number];
    const values = (await costs.data()) as Float32Array;
    costs.dispose();
    const counts = targets.map(({ boxes }) => boxes.length);
    const block = batch * rows * queries;
    const matches = new Float32Array(heads * block);
    for (let head = 0; head < heads; head++) {
      const found = matchQueries(values.subarray(head * block, (head + 1) * block), { rows, queries, counts });
      matches.set(matchMatrix(found, queries), head * block);
    }
    tensors[`${PREFIX}matches`] = tf.tensor4d(matches, [heads, batch, rows, queries]);
    tensors[`${PREFIX}normalizer`] = tf.scalar(arrays.normalizer);
    if (this.#levels) {
      const { objects, positives } = denseTargets(targets, this.#levels);
      const tokens = objects.length / batch;
      const oneHot = new Float32Array(objects.length * rows);
      for (let i = 0; i < objects.length; i++) if (objects[i]! >= 0) oneHot[i * rows + objects[i]!] = 1;
      tensors[`${PREFIX}objects`] = tf.tensor3d(oneHot, [batch, tokens, rows]);
      tensors[`${PREFIX}positives`] = tf.scalar(positives);
      tensors[`${PREFIX}denseWeight`] = tf.scalar(denseWeight);
    }
    return tensors;
  }

  dispose(): void {
    this.#costs.dispose();
  }

  #allCosts(inputs: BatchTensors): tf.Tensor {
    const { decoder, encoder } = this.#forward(inputs);
    const targets = targetTensors(inputs);
    return tf.stack([...decoder, ...(encoder ? [encoder] : [])].map((detections) => matchCosts(detections, targets)));
  }

  #loss(inputs: BatchTensors): ReturnType<LossFunction> {
    const { decoder, encoder, dense } = this.#forward(inputs);
    const targets = targetTensors(inputs);
    const normalizer = inputs[`${PREFIX}normalizer`] as tf.Scalar;
    const matches = tf.unstack(inputs[`${PREFIX}matches`]!) as tf.Tensor3D[];
    const lossOf = (detections: Detections, head: number) =>
      setLoss(detections, targets, { matches: matches[head]!, normalizer });
    const layers = decoder.map(lossOf);
    const final = layers.at(-1)!;
    const terms = layers.map(weightedLoss);
    const parts: Record<string, tf.Scalar> = { ...namedTerms(final, "") };
    if (layers.length > 1) parts["aux"] = tf.addN(terms.slice(0, -1)) as tf.Scalar;
    if (encoder) {
      const loss = lossOf(encoder, decoder.length);
      terms.push(weightedLoss(loss));
      Object.assign(parts, namedTerms(loss, "_enc"));
    }
    if (this.#levels) {
      if (!dense) throw new RangeError("The forward pass yields no encoder tokens, which the one-to-many loss needs.");
      const objects = inputs[`${PREFIX}objects`] as tf.Tensor3D;
      const positives = inputs[`${PREFIX}positives`] as tf.Scalar;
      const loss = weightedLoss(denseLoss(dense, targets, { objects, usable: dense.usable, positives }));
      parts["dense"] = loss;
      terms.push(tf.mul(loss, inputs[`${PREFIX}denseWeight`]!));
    }
    return { total: tf.addN(terms) as tf.Scalar, parts };
  }
}

function namedTerms({ ce, bbox, giou }: SetLoss, suffix: string): Record<string, tf.Scalar> {
  return { [`ce${suffix}`]: ce, [`bbox${suffix}`]: bbox, [`giou${suffix}`]: giou };
}

function targetTensors(inputs: BatchTensors): DetectionTargets {
  return {
    boxes: inputs[`${PREFIX}boxes`] as tf.Tensor3D,
    valid: inputs[`${PREFIX}valid`] as tf.Tensor2D,
    tokens: inputs[`${PREFIX}tokens`] as tf.Tensor3D,
    textMask: inputs[`${PREFIX}textMask`] as tf.Tensor2D,
  };
}
