import { at, Embedding, type InitContext, LayerNorm, Linear, Module, ModuleList, normal } from "@seg/nn";
import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import type { SamDecoderConfig } from "./config.js";
import { PatchConvTranspose2d } from "./patch-conv.js";
import { SamTwoWayTransformer } from "./two-way-transformer.js";
import type { SamTrace } from "./vision-encoder.js";

/** Linear layers with ReLU between: input -> hidden -> ... -> output, `depth` layers in all. */
export class SamFeedForward extends Module {
  proj_in: Linear;
  proj_out: Linear;
  layers: ModuleList<Linear>;

  constructor({
    input,
    hidden,
    output,
    depth,
    init,
  }: {
    input: number;
    hidden: number;
    output: number;
    depth: number;
    init: InitContext;
  }) {
    super();
    this.proj_in = new Linear({ inFeatures: input, outFeatures: hidden, init: at(init, "proj_in") });
    this.proj_out = new Linear({ inFeatures: hidden, outFeatures: output, init: at(init, "proj_out") });
    this.layers = new ModuleList(
      Array.from(
        { length: depth - 2 },
        (_, i) => new Linear({ inFeatures: hidden, outFeatures: hidden, init: at(init, `layers.${i}`) }),
      ),
    );
  }

  forward(x: tf.Tensor): tf.Tensor {
    let y: tf.Tensor = tf.relu(this.proj_in.forward(x));
    for (const layer of this.layers) y = tf.relu(layer.forward(y));
    return this.proj_out.forward(y);
  }
}

/** Predicts masks and their quality from prompt tokens and an image embedding. */
export class SamMaskDecoder extends Module {
  readonly #masks: number;
  iou_token: Embedding;
  mask_tokens: Embedding;
  transformer: SamTwoWayTransformer;
  upscale_conv1: PatchConvTranspose2d;
  upscale_conv2: PatchConvTranspose2d;
  upscale_layer_norm: LayerNorm;
  output_hypernetworks_mlps: ModuleList<SamFeedForward>;
  iou_prediction_head: SamFeedForward;

  constructor({ config, init }: { config: SamDecoderConfig; init: InitContext }) {
    super();
    const width = config.hiddenSize;
    this.#masks = config.numMultimaskOutputs + 1;
    const tokens = (name: string, count: number) => {
      const result = new Embedding({ count, features: width, init: at(init, name) });
      result.weight.assign(normal(at(init, `${name}.weight`), count * width, 0.5));
      return result;
    };
    this.iou_token = tokens("iou_token", 1);
    this.mask_tokens = tokens("mask_tokens", this.#masks);
    this.transformer = new SamTwoWayTransformer({ config, init: at(init, "transformer") });
    const upscale = (name: string, inChannels: number, outChannels: number) =>
      new PatchConvTranspose2d({ inChannels, outChannels, kernelSize: 2, stride: 2, init: at(init, name) });
    this.upscale_conv1 = upscale("upscale_conv1", width, width / 4);
    this.upscale_conv2 = upscale("upscale_conv2", width / 4, width / 8);
    this.upscale_layer_norm = new LayerNorm({ features: width / 4, eps: 1e-6 });
    this.output_hypernetworks_mlps = new ModuleList(
      Array.from(
        { length: this.#masks },
        (_, i) =>
          new SamFeedForward({
            input: width,
            hidden: width,
            output: width / 8,
            depth: 3,
            init: at(init, `output_hypernetworks_mlps.${i}`),
          }),
      ),
    );
    this.iou_prediction_head = new SamFeedForward({
      input: width,
      hidden: config.iouHeadHiddenDim,
      output: this.#masks,
      depth: config.iouHeadDepth,
      init: at(init, "iou_prediction_head"),
    });
  }

  /**
   * @param image - image embedding plus dense prompt [B, g, g, C]
   * @param imagePosition - [1, g g, C]
   * @param sparse - prompt tokens [B, P, N, C], or null (then P = 1)
   * @param multimask - masks 1.. (three readings of an ambiguous prompt) instead of mask 0
   * @returns logits [B, P, M, 4g, 4g] and predicted IoU [B, P, M]
   */
  forward(
    image: tf.Tensor4D,
    imagePosition: tf.Tensor3D,
    sparse: tf.Tensor4D | null,
    multimask: boolean,
    trace?: SamTrace,
  ): { lowResMasks: tf.Tensor5D; iou: tf.Tensor3D } {
    const [batch, side, , width] = image.shape;
    const prompts = sparse?.shape[1] ?? 1;
    const groups = batch * prompts;
    const own = tf.concat([this.iou_token.weight.value(), this.mask_tokens.weight.value()], 0);
    const ownCount = 1 + this.#masks;
    const repeated = tf.tile(tf.reshape(own, [1, ownCount, width]), [groups, 1, 1]) as tf.Tensor3D;
    const tokens = sparse
      ? (tf.concat([repeated, tf.reshape(sparse, [groups, sparse.shape[2], width])], 1) as tf.Tensor3D)
      : repeated;
    const pixels = tf.reshape<tf.Rank.R3>(image, [batch, side * side, width]);
    const { queries, keys } = this.transformer.forward(tokens, pixels, imagePosition, trace);

    let map = this.upscale_conv1.forward(tf.reshape<tf.Rank.R4>(keys, [groups, side, side, width]));
    trace?.("decoder.upscale_conv1", map);
    map = this.upscale_layer_norm.forward(map);
    trace?.("decoder.upscale_layer_norm", map);
    map = this.upscale_conv2.forward(ops.gelu(map));
    trace?.("decoder.upscale_conv2", map);
    const fine = 4 * side;
    const features = tf.reshape<tf.Rank.R3>(ops.gelu(map), [groups, fine * fine, width / 8]);

    const first = multimask ? 1 : 0;
    const count = multimask ? this.#masks - 1 : 1;
    const token = (index: number) =>
      tf.reshape(tf.slice(queries, [0, index, 0], [groups, 1, width]), [groups, width]) as tf.Tensor2D;
    const vectors: tf.Tensor[] = [];
    for (let i = first; i < first + count; i++) {
      const vector = this.output_hypernetworks_mlps.at(i).forward(token(1 + i));
      trace?.(`decoder.hypernetwork.${i}`, vector);
      vectors.push(tf.reshape(vector, [groups, 1, width / 8]));
    }
    const weights = (vectors.length === 1 ? vectors[0]! : tf.concat(vectors, 1)) as tf.Tensor3D;
    const logits = tf.matMul(weights, features, false, true);
    const quality = tf.slice(this.iou_prediction_head.forward(token(0)), [0, first], [groups, count]);
    return {
      lowResMasks: tf.reshape(logits, [batch, prompts, count, fine, fine]) as tf.Tensor5D,
      iou: tf.reshape(quality, [batch, prompts, count]),
    };
  }
}
