import { MergeError, mergeAdapter, unmergeAdapter, withAdaptersDisabled } from "@seg/lora";
import { type GroundingDinoSizeOptions, prepareGroundingDino } from "@seg/preprocess";
import * as tf from "@tensorflow/tfjs";
import type { MergeCheck } from "../../sam/merge-check.js";
import type { GroundingDino } from "../grounding-dino.js";
import { textBatch, textTensors } from "../text-batch.js";
import type { DetectorItem } from "./detector-item.js";

/**
 * Proves on one image that merging changes nothing and that the adapters change something, by the encoder's token logits of all cells (those of
 * queries depend on which cells were chosen, where rounding decides ties). Adapters are unmerged afterwards.
 *
 * @param ids - tokens of the caption
 * @throws MergeError when merged and unmerged logits differ by more than 1e-4 of their scale, or adapters have no effect
 */
export async function checkDetectorMerge(
  model: GroundingDino,
  { image }: DetectorItem,
  { ids, size }: { readonly ids: ArrayLike<number>; readonly size: GroundingDinoSizeOptions },
): Promise<MergeCheck> {
  const { data, geometry } = prepareGroundingDino(image, size);
  const logits = async (): Promise<Float32Array> => {
    const [cells, queries] = tf.tidy(() => {
      const planes = tf.tensor4d(data, [1, 3, geometry.netH, geometry.netW]);
      const pixels = tf.transpose(planes, [0, 2, 3, 1]) as tf.Tensor4D;
      const { proposals, layers } = model.forward({ pixels, text: textTensors(textBatch([ids])) });
      // Set-valued: the largest logit of each token over all queries does not depend on their order.
      return [tf.reshape(proposals.tokenLogits, [-1]), tf.reshape(tf.max(layers.at(-1)!.tokenLogits, 1), [-1])];
    });
    const result = Float32Array.from([...(await cells!.data()), ...(await queries!.data())]);
    tf.dispose([cells!, queries!]);
    return result;
  };
  const adapted = await logits();
  const base = await withAdaptersDisabled(model, logits);
  mergeAdapter(model);
  let merged: Float32Array;
  try {
    merged = await logits();
  } finally {
    unmergeAdapter(model);
  }
  const scale = adapted.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  const distance = (other: Float32Array) => adapted.reduce((most, v, i) => Math.max(most, Math.abs(v - other[i]!)), 0);
  const check = { adapterVsMerged: distance(merged), adapterVsBase: distance(base), scale };
  if (!(check.adapterVsMerged <= 1e-4 * Math.max(1, scale))) {
    throw new MergeError({ reason: `Merged logits differ by ${check.adapterVsMerged} at scale ${scale}`, paths: [] });
  }
  if (!(check.adapterVsBase > 0)) {
    throw new MergeError({ reason: "The trained adapters have no effect on the detections", paths: [] });
  }
  return check;
}
