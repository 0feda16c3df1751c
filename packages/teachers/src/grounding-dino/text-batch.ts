import * as tf from "@tensorflow/tfjs";
import { PAD_ID, type PhraseColumns, phraseColumns, textBlocks } from "./text-blocks.js";

/** Captions as the network reads them, on the host; padded with [PAD] to one length N. */
export interface TextBatch {
  readonly batch: number;
  readonly length: number;
  /** [B, N] */
  readonly inputIds: Int32Array;
  /** [B, N], offset of each token in its phrase. */
  readonly positionIds: Int32Array;
  /** [B, N], 1 = real token. */
  readonly textMask: Float32Array;
  /** [B, N, N], 1 = the row's token sees the column's. */
  readonly blockMask: Float32Array;
  /** Columns of every phrase per caption, in caption order. */
  readonly phrases: readonly (readonly PhraseColumns[])[];
}

/** {@link TextBatch} as tensors; pass them to compiled functions as arguments. */
export type TextTensors = {
  readonly inputIds: tf.Tensor2D;
  readonly positionIds: tf.Tensor2D;
  readonly textMask: tf.Tensor2D;
  readonly blockMask: tf.Tensor3D;
};

/** Token ids of a caption of these phrases, special tokens included. */
export type EncodeCaption = (phrases: readonly string[]) => ArrayLike<number>;

/** The text tensors among tensors by name. */
export function textOf(inputs: Readonly<Record<string, tf.Tensor>>): TextTensors {
  return {
    inputIds: inputs["inputIds"] as tf.Tensor2D,
    positionIds: inputs["positionIds"] as tf.Tensor2D,
    textMask: inputs["textMask"] as tf.Tensor2D,
    blockMask: inputs["blockMask"] as tf.Tensor3D,
  };
}

/**
 * Masks, positions and phrases of captions.
 *
 * @param captions - token ids of each, [CLS] first, [SEP] last
 * @param length - pad to this many tokens, so that one compiled graph serves different captions. @defaultValue the longest
 * @throws RangeError when a caption is longer
 */
export function textBatch(captions: readonly ArrayLike<number>[], { length }: { length?: number } = {}): TextBatch {
  const longest = Math.max(...captions.map((ids) => ids.length));
  const n = length ?? longest;
  if (longest > n) throw new RangeError(`A caption has ${longest} tokens, more than length ${n}.`);
  const batch = captions.length;
  const inputIds = new Int32Array(batch * n).fill(PAD_ID);
  const positionIds = new Int32Array(batch * n);
  const textMask = new Float32Array(batch * n);
  const blockMask = new Float32Array(batch * n * n);
  const phrases: PhraseColumns[][] = [];
  for (const [b, ids] of captions.entries()) {
    inputIds.set(Array.from(ids), b * n);
    textMask.fill(1, b * n, b * n + ids.length);
    const row = inputIds.subarray(b * n, (b + 1) * n);
    const { mask, positions } = textBlocks(row);
    positionIds.set(positions, b * n);
    blockMask.set(mask, b * n * n);
    phrases.push(phraseColumns(row));
  }
  return { batch, length: n, inputIds, positionIds, textMask, blockMask, phrases };
}

/** The tensors of a batch; the caller disposes them. */
export function textTensors({ batch, length, ...text }: TextBatch): TextTensors {
  return {
    inputIds: tf.tensor2d(text.inputIds, [batch, length], "int32"),
    positionIds: tf.tensor2d(text.positionIds, [batch, length], "int32"),
    textMask: tf.tensor2d(text.textMask, [batch, length]),
    blockMask: tf.tensor3d(text.blockMask, [batch, length, length]),
  };
}
