import {
  at,
  BatchNorm2d,
  ConvBlock,
  ConvTranspose2d,
  Head,
  type HeadLevel,
  type InitContext,
  Module,
  type NormOptions,
} from "@seg/nn";
import { SAM_MEAN, SAM_STD } from "@seg/preprocess";
import { parseSamConfig, Sam, type SamConfig } from "@seg/teachers";
import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";

/** Channels of the three maps that the detection head reads. */
const NECK_CHANNELS = 128;

/** The configuration of MobileSAM (Zhang et al., "Faster Segment Anything", 2023) for square inputs of `imgsz` pixels. */
export function mobileSamConfig(imgsz: number): SamConfig {
  return parseSamConfig({
    vision_config: { image_size: imgsz },
    tiny_vit_config: {},
    mask_decoder_config: { layer_norm_eps: 1e-5 },
  });
}

/** Transposed convolution k2 s2 without bias, batch normalisation, SiLU: stride 16 to stride 8. */
class UpBlock extends Module {
  conv: ConvTranspose2d;
  bn: BatchNorm2d;

  constructor({ inChannels, norm, init }: { inChannels: number; norm: NormOptions; init: InitContext }) {
    super();
    const shape = { inChannels, outChannels: NECK_CHANNELS, kernelSize: 2, stride: 2, bias: false };
    this.conv = new ConvTranspose2d({ ...shape, init: at(init, "conv") });
    this.bn = new BatchNorm2d({ features: NECK_CHANNELS, ...norm });
  }

  /** @param x - [B, g, g, in] @returns [B, 2g, 2g, 128] */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    return ops.silu(this.bn.forward(this.conv.forward(x)));
  }
}

/** Pyramid and YOLOv8 detection head on one embedding of stride 16. */
export class EmbeddingDetector extends Module {
  p3: UpBlock;
  p4: ConvBlock;
  p5: ConvBlock;
  head: Head;

  constructor({
    inChannels,
    classes,
    regMax,
    norm,
    init,
  }: { inChannels: number; classes: number; regMax: number; norm: NormOptions; init: InitContext }) {
    super();
    const block = (name: string, stride: number) =>
      new ConvBlock({
        inChannels,
        outChannels: NECK_CHANNELS,
        kernelSize: 3,
        stride,
        norm,
        init: at(init, name),
      });
    this.p3 = new UpBlock({ inChannels, norm, init: at(init, "p3") });
    this.p4 = block("p4", 1);
    this.p5 = block("p5", 2);
    this.head = new Head({
      channels: [NECK_CHANNELS, NECK_CHANNELS, NECK_CHANNELS],
      classes,
      regMax,
      protoChannels: null,
      norm,
      init: at(init, "head"),
    });
  }

  /** @param embedding - [B, g, g, in] @returns raw maps of strides 8, 16, 32 */
  forward(embedding: tf.Tensor4D): readonly HeadLevel[] {
    const maps = [this.p3.forward(embedding), this.p4.forward(embedding), this.p5.forward(embedding)];
    return this.head.forward(maps).levels;
  }
}

/**
 * MobileSAM without prompts: a detector on the image embedding supplies the boxes that prompt the mask decoder. State-dict names are those
 * of `Sam` (@seg/teachers) plus `det.*`.
 */
export class MobileSamNet extends Sam {
  det: EmbeddingDetector;

  /** @param momentum - of the batch normalisations of `det` */
  constructor(
    config: SamConfig,
    { classes, regMax, momentum, seed }: { classes: number; regMax: number; momentum: number; seed: number },
  ) {
    super(config, { seed });
    this.det = new EmbeddingDetector({
      inChannels: config.vision.outputChannels,
      classes,
      regMax,
      norm: { eps: 1e-3, momentum },
      init: { seed, path: "det" },
    });
  }

  /** Image embedding [B, g, g, C] of RGB images [B, S, S, 3] in 0..1; the normalisation of SAM is part of the graph. */
  embed(images: tf.Tensor4D): tf.Tensor4D {
    const scale = SAM_STD.map((std) => 255 / std);
    const shift = SAM_MEAN.map((mean, c) => -mean / SAM_STD[c]!);
    return this.encodeImage(tf.add(tf.mul(images, tf.tensor1d(scale)), tf.tensor1d(shift)) as tf.Tensor4D);
  }

  /**
   * Mask logits of boxes, the single mask per prompt.
   * @param boxes - [B, P, 4] xyxy in pixels of the network input @returns [B, P, S/4, S/4]
   */
  maskLogits(imageEmbeddings: tf.Tensor4D, boxes: tf.Tensor3D): tf.Tensor4D {
    const { lowResMasks } = this.predictMasks({ imageEmbeddings, boxes, multimask: false });
    const [batch, prompts, , height, width] = lowResMasks.shape;
    return tf.reshape(lowResMasks, [batch, prompts, height, width]);
  }
}
