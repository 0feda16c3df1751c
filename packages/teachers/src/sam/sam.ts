import { readFileSync } from "node:fs";
import { join } from "node:path";
import { at, loadStateDict, Module, openWeights, type WeightFile } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { TeacherUnavailableError } from "../errors.js";
import { embeddingSide, parseSamConfig, type SamConfig } from "./config.js";
import { SamMaskDecoder } from "./mask-decoder.js";
import { SamPositionalEmbedding, SamPromptEncoder, type SamPrompts } from "./prompt-encoder.js";
import { TinyVitEncoder } from "./tiny-vit.js";
import { type SamImageEncoder, type SamTrace, SamVisionEncoder } from "./vision-encoder.js";

/** Result of {@link Sam.predictMasks}. */
export type SamPrediction = {
  /** Mask logits [B, P, M, 4g, 4g] over the padded model image; above 0 is inside. */
  readonly lowResMasks: tf.Tensor5D;
  /** The network's estimate of each mask's IoU, [B, P, M]. */
  readonly iou: tf.Tensor3D;
};

/**
 * Segment Anything (Kirillov et al., 2023) of any size, built from a configuration, with Hugging Face's state-dict names.
 * All methods may run under `tf.variableGrads`.
 */
export class Sam extends Module {
  readonly config: SamConfig;
  shared_image_embedding: SamPositionalEmbedding;
  vision_encoder: SamImageEncoder;
  prompt_encoder: SamPromptEncoder;
  mask_decoder: SamMaskDecoder;

  /**
   * A network with initial values for training from scratch: U(+-1/sqrt(fan in)) layers, token embeddings N(0, .5^2), absolute positions
   * truncated N(0, .02^2), relative positions 0.
   * @param blank - zeros instead: for a network whose values are loaded next. @defaultValue false
   */
  constructor(config: SamConfig, { seed, blank = false }: { seed: number; blank?: boolean }) {
    super();
    this.config = config;
    const init = { seed, path: "", blank };
    const shared = new SamPositionalEmbedding({
      features: config.vision.numPosFeats,
      init: at(init, "shared_image_embedding"),
    });
    this.shared_image_embedding = shared;
    const { vision, tinyVit } = config;
    const encoder = { config: vision, init: at(init, "vision_encoder") };
    this.vision_encoder = tinyVit ? new TinyVitEncoder({ ...encoder, tinyVit }) : new SamVisionEncoder(encoder);
    this.prompt_encoder = new SamPromptEncoder({ config, shared, init: at(init, "prompt_encoder") });
    this.mask_decoder = new SamMaskDecoder({ config: config.decoder, init: at(init, "mask_decoder") });
  }

  /**
   * Loads a Hugging Face folder: `config.json` and `model.safetensors`, an index of shards or `pytorch_model.bin` (fp32, fp16 or bf16). Tensors are read one at a
   * time, after all names and shapes have been checked.
   * @throws {@link TeacherUnavailableError} when a file is missing, TeacherConfigError or StateDictError when they do not fit
   */
  static fromPretrained(directory: string): Sam {
    let text: string;
    try {
      text = readFileSync(join(directory, "config.json"), "utf8");
    } catch (cause) {
      throw new TeacherUnavailableError({
        teacher: "sam",
        reason: `${directory} holds no readable config.json`,
        cause,
      });
    }
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch (cause) {
      throw new TeacherUnavailableError({ teacher: "sam", reason: `${directory}/config.json is not JSON`, cause });
    }
    const config = parseSamConfig(json);
    let weights: WeightFile;
    try {
      weights = openWeights(directory);
    } catch (cause) {
      const reason = `the weights in ${directory} cannot be read`;
      throw new TeacherUnavailableError({ teacher: "sam", reason, cause });
    }
    const sam = new Sam(config, { seed: 0, blank: true });
    try {
      loadStateDict(sam, weights);
    } catch (error) {
      sam.dispose();
      throw error;
    }
    return sam;
  }

  /**
   * @param pixelValues - [B, S, S, 3], normalised with the ImageNet statistics, zero padded right and bottom
   * @returns [B, g, g, C], g = S / patch
   */
  encodeImage(pixelValues: tf.Tensor4D, { trace }: { trace?: SamTrace } = {}): tf.Tensor4D {
    return this.vision_encoder.forward(pixelValues, trace);
  }

  /** Masks for P prompts per image; points and boxes of one prompt describe one object. */
  predictMasks({
    imageEmbeddings,
    multimask = true,
    trace,
    ...prompts
  }: SamPrompts & {
    /** [B, g, g, C] of {@link encodeImage}. */
    readonly imageEmbeddings: tf.Tensor4D;
    /** Three alternative masks; false gives the single one meant for unambiguous prompts. @defaultValue true */
    readonly multimask?: boolean;
    readonly trace?: SamTrace;
  }): SamPrediction {
    const sparse = this.prompt_encoder.sparse(prompts);
    if (sparse) trace?.("sparse_embeddings", sparse);
    const dense = this.prompt_encoder.dense(prompts.masks);
    trace?.("dense_embeddings", dense);
    const image = tf.add(imageEmbeddings, dense) as tf.Tensor4D;
    return this.mask_decoder.forward(image, this.imagePositions(), sparse, multimask, trace);
  }

  /** Position code of every token of the image embedding, [1, g g, C]. */
  imagePositions(): tf.Tensor3D {
    const side = embeddingSide(this.config);
    const centres = new Float32Array(side * side * 2);
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        centres[2 * (y * side + x)] = (x + 0.5) / side;
        centres[2 * (y * side + x) + 1] = (y + 0.5) / side;
      }
    }
    const code = this.shared_image_embedding.forward(tf.tensor2d(centres, [side * side, 2]));
    return tf.reshape(code, [1, side * side, code.shape[1]]);
  }
}
