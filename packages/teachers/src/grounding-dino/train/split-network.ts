import type { Parameter } from "@seg/nn";
import { type CompiledFunction, compile } from "@seg/tfjs-onnxruntime";
import type { BatchTensors } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { backboneChannels } from "../config.js";
import type { GroundingDino } from "../grounding-dino.js";
import { type ImageGeometry, mapSizes } from "../image-levels.js";
import { textOf } from "../text-batch.js";
import { headsOf } from "./detection-heads.js";
import type { DetectionHeads } from "./detection-step.js";

/** How far from the pixels on nothing is trained. */
export type FrozenPart = "nothing" | "backbone" | "encoder";

/** @param names - of the trained parameters */
export function frozenPart(names: Iterable<string>): FrozenPart {
  let part: FrozenPart = "encoder";
  for (const name of names) {
    if (name.startsWith("model.backbone.")) return "nothing";
    // Proposals are made behind the encoder: their head belongs to what is trained.
    if (
      !/^(model\.decoder\.|bbox_embed\.|model\.enc_output|model\.encoder_output_bbox_embed\.|model\.query_position)/.test(
        name,
      )
    ) {
      part = "backbone";
    }
  }
  return part;
}

/** The network cut behind its frozen part, which runs once per batch instead of in both runs of a step, and never backwards. */
export class SplitNetwork {
  readonly #model: GroundingDino;
  readonly #canvas: { readonly height: number; readonly width: number };
  readonly #options: { readonly encoder: boolean; readonly dense: boolean };
  readonly frozen: FrozenPart;
  readonly #front: CompiledFunction<[{ [name: string]: tf.Tensor }], { [name: string]: tf.Tensor }>;

  constructor({
    model,
    canvas,
    parameters,
    encoder,
    dense,
  }: {
    readonly model: GroundingDino;
    /** Size of all batches, pixels. */
    readonly canvas: { readonly height: number; readonly width: number };
    readonly parameters: ReadonlyMap<string, Parameter>;
    /** Whether the encoder's proposals are trained. */
    readonly encoder: boolean;
    /** Whether all encoder tokens are. */
    readonly dense: boolean;
  }) {
    this.#model = model;
    this.#canvas = canvas;
    this.#options = { encoder, dense };
    this.frozen = frozenPart(parameters.keys());
    this.#front = compile((inputs: BatchTensors) => tf.tidy(() => this.#frozenOutputs(inputs)), {
      name: "the frozen part of Grounding DINO",
    });
  }

  /** Replaces the pixels (`planes`) by what the frozen part makes of them. Takes over the pixels. */
  freeze(inputs: BatchTensors): BatchTensors {
    if (this.frozen === "nothing") return inputs;
    const { planes, ...rest } = inputs;
    const needed = this.frozen === "backbone" ? { planes: planes! } : { ...inputs };
    const outputs = this.#front(needed as { [name: string]: tf.Tensor });
    planes!.dispose();
    return { ...rest, ...outputs };
  }

  /** Extents of what {@link SplitNetwork.freeze} gives for one image of a batch, by name. */
  frozenShapes(inputs: BatchTensors): Record<string, number[]> {
    const { config } = this.#model;
    const levels = mapSizes(config, this.#canvas);
    if (this.frozen === "encoder") {
      const cells = levels.reduce((sum, { height, width }) => sum + height * width, 0);
      return { vision: [cells, config.dModel], fusedText: [inputs["inputIds"]!.shape[1]!, config.dModel] };
    }
    return Object.fromEntries(
      backboneChannels(config.backbone).map((channels, i) => [
        `map${i}`,
        [levels[i]!.height, levels[i]!.width, channels],
      ]),
    );
  }

  /** What the losses read. */
  heads(inputs: BatchTensors): DetectionHeads {
    const model = this.#model;
    const text = textOf(inputs);
    const geometry = this.#geometry(inputs);
    const encoded =
      this.frozen === "encoder"
        ? { vision: inputs["vision"] as tf.Tensor3D, text: inputs["fusedText"] as tf.Tensor3D }
        : model.encode({ maps: this.#mapsOf(inputs), geometry, text });
    return headsOf(model.decode(encoded, { geometry, textMask: text.textMask }), this.#options);
  }

  dispose(): void {
    this.#front.dispose();
  }

  #frozenOutputs(inputs: BatchTensors): { [name: string]: tf.Tensor } {
    const maps = this.#maps(inputs["planes"]!);
    if (this.frozen === "backbone") return Object.fromEntries(maps.map((map, i) => [`map${i}`, map]));
    const { vision, text } = this.#model.encode({ maps, geometry: this.#geometry(inputs), text: textOf(inputs) });
    return { vision, fusedText: text };
  }

  #geometry(inputs: BatchTensors): ImageGeometry {
    return this.#model.geometry(this.#canvas, (inputs["pixelMask"] as tf.Tensor3D | undefined) ?? null);
  }

  #mapsOf(inputs: BatchTensors): tf.Tensor4D[] {
    const planes = inputs["planes"];
    if (planes) return this.#maps(planes);
    return this.#model.config.backbone.outIndices.map((_, i) => inputs[`map${i}`] as tf.Tensor4D);
  }

  #maps(planes: tf.Tensor): tf.Tensor4D[] {
    return this.#model.imageMaps(tf.transpose(planes, [0, 2, 3, 1]) as tf.Tensor4D);
  }
}
