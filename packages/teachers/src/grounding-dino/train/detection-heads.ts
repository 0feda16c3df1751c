import type { BatchTensors } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import type { GroundingDino, GroundingDinoOutput } from "../grounding-dino.js";
import { textOf } from "../text-batch.js";
import type { DetectionHeads } from "./detection-step.js";

/** Which predictions are trained beside those of the decoder. */
export interface HeadOptions {
  /** The selected proposals of the encoder. */
  readonly encoder: boolean;
  /** All encoder tokens. @defaultValue false */
  readonly dense?: boolean;
}

/** The whole network on named tensors, as a step needs it: `pixels` and those of the text, `pixelMask` where images are padded. */
export function forwardHeads(model: GroundingDino, inputs: BatchTensors, options: HeadOptions): DetectionHeads {
  const pixelMask = inputs["pixelMask"] as tf.Tensor3D | undefined;
  return headsOf(
    model.forward({ pixels: inputs["pixels"] as tf.Tensor4D, ...(pixelMask && { pixelMask }), text: textOf(inputs) }),
    options,
  );
}

/** What the losses read of an output. */
export function headsOf(
  { layers, proposals }: Omit<GroundingDinoOutput, "encoded">,
  { encoder, dense = false }: HeadOptions,
): DetectionHeads {
  const [batch, tokens] = proposals.tokenLogits.shape;
  const usable = tf.reshape<tf.Rank.R2>(proposals.usable, [proposals.usable.shape[0], tokens]);
  return {
    decoder: layers.map(({ tokenLogits, boxes }) => ({ logits: tokenLogits, boxes })),
    encoder: encoder ? { logits: proposals.topkTokenLogits, boxes: proposals.boxes } : null,
    dense: dense
      ? {
          logits: proposals.tokenLogits,
          boxes: tf.sigmoid(proposals.coordLogits) as tf.Tensor3D,
          usable: usable.shape[0] === batch ? usable : tf.tile(usable, [batch, 1]),
        }
      : null,
  };
}
