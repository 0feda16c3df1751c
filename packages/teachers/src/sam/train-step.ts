import type { Parameter } from "@seg/nn";
import { type CompiledFunction, compile, freeze } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { embeddingSide } from "./config.js";
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

/** What {@link SamTrainStep.run} measured. */
export interface SamStepResult {
  readonly total: number;
  readonly parts: Readonly<Record<(typeof PARTS)[number], number>>;
  /** By the names of `parameters`; those that the loss does not reach are absent. */
  readonly grads: ReadonlyMap<string, Float32Array>;
}

const PARTS = ["bce", "focal", "dice", "iou"] as const;

type Inputs = { pixels?: tf.Tensor; embeddings?: tf.Tensor; boxes: tf.Tensor; targets: tf.Tensor; valid?: tf.Tensor };
type Outputs = { total: tf.Tensor; parts: tf.Tensor; grads: Record<string, tf.Tensor> };

/**
 * Loss and gradients of a batch as one graph: recorded with the first batch of a size, replayed with every further one. Nothing is updated; values that are
 * assigned to `parameters` between runs are what the next run reads. On other backends than the engine every run is recorded.
 */
export class SamTrainStep {
  readonly #sam: Sam;
  readonly #parameters: ReadonlyMap<string, Parameter>;
  readonly #weights: SamLossWeights;
  readonly #multimask: boolean;
  readonly #compiled: CompiledFunction<[Inputs], Outputs>;

  /**
   * @param parameters - what is differentiated. All other state of `sam` is taken as frozen while the step lives: the engine may build it into the graph.
   * @param multimask - train the best of the three alternative masks instead of the single one. @defaultValue false
   */
  constructor({
    sam,
    parameters,
    weights,
    multimask = false,
  }: {
    readonly sam: Sam;
    readonly parameters: ReadonlyMap<string, Parameter>;
    readonly weights: SamLossWeights;
    readonly multimask?: boolean;
  }) {
    this.#sam = sam;
    this.#parameters = parameters;
    this.#weights = weights;
    this.#multimask = multimask;
    this.#compiled = compile((inputs: Inputs) => this.#differentiate(inputs), { name: "the SAM training step" });
    const trained = new Set(parameters.values());
    const frozen = [...sam.namedParameters().values()].filter((parameter) => !trained.has(parameter));
    freeze(frozen.map(({ variable }) => variable));
  }

  /** @throws EngineError of the engine */
  async run({ images, prompts, pixels, embeddings, boxes, targets, valid }: SamBatch): Promise<SamStepResult> {
    const { imageSize, outputChannels } = this.#sam.config.vision;
    const grid = embeddingSide(this.#sam.config);
    const fine = 4 * grid;
    const inputs: Inputs = {
      ...(embeddings
        ? { embeddings: tf.tensor4d(embeddings, [images, grid, grid, outputChannels]) }
        : { pixels: tf.tensor4d(pixels!, [images, imageSize, imageSize, 3]) }),
      boxes: tf.tensor3d(boxes, [images, prompts, 4]),
      targets: tf.tensor4d(targets, [images, prompts, fine, fine]),
      ...(valid && { valid: tf.tensor3d(valid, [images, fine, fine]) }),
    };
    let outputs: Outputs | null = null;
    try {
      outputs = this.#compiled(inputs);
      // The first read runs everything that is pending; the others find their values ready.
      const total = (await outputs.total.data())[0]!;
      const values = outputs.parts.dataSync();
      const parts = Object.fromEntries(PARTS.map((key, i) => [key, values[i]!])) as Record<
        (typeof PARTS)[number],
        number
      >;
      const grads = new Map<string, Float32Array>();
      for (const [name, grad] of Object.entries(outputs.grads)) grads.set(name, grad.dataSync() as Float32Array);
      return { total, parts, grads };
    } finally {
      tf.dispose([Object.values(inputs), outputs ? [outputs.total, outputs.parts, Object.values(outputs.grads)] : []]);
    }
  }

  /** Frees the compiled graph; the model stays. */
  dispose(): void {
    this.#compiled.dispose();
  }

  #differentiate({ pixels, embeddings, boxes, targets, valid }: Inputs): Outputs {
    return tf.tidy(() => {
      let parts: tf.Tensor | undefined;
      const { value, grads } = tf.variableGrads(
        () => {
          const { lowResMasks, iou } = this.#sam.predictMasks({
            imageEmbeddings: (embeddings as tf.Tensor4D | undefined) ?? this.#sam.encodeImage(pixels as tf.Tensor4D),
            boxes: boxes as tf.Tensor3D,
            multimask: this.#multimask,
          });
          const loss = samLoss({
            logits: lowResMasks,
            iou,
            targets: targets as tf.Tensor4D,
            weights: this.#weights,
            ...(valid && { valid: valid as tf.Tensor3D }),
          });
          parts = tf.keep(tf.stack(PARTS.map((key) => loss.parts[key])));
          return loss.total;
        },
        [...this.#parameters.values()].map(({ variable }) => variable),
      );
      const named: Record<string, tf.Tensor> = {};
      for (const [name, { variable }] of this.#parameters) {
        const grad = grads[variable.name];
        if (grad) named[name] = grad;
      }
      return { total: value, parts: parts!, grads: named };
    });
  }
}
