import { createHash } from "node:crypto";
import type { BatchTensors } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { TensorCache, type TensorCacheOptions } from "../../tensor-cache.js";
import type { FrozenPart, SplitNetwork } from "./split-network.js";

/** Inputs that the frozen part reads behind each cut; those of an image are the rows of a batch. */
const READ: Readonly<Record<Exclude<FrozenPart, "nothing">, readonly string[]>> = {
  backbone: ["planes"],
  encoder: ["planes", "pixelMask", "inputIds", "positionIds", "textMask", "blockMask"],
};

/**
 * What Grounding DINO's frozen part makes of an image, computed once per (prepared pixels, weights, cut, stored type, and behind the encoder the caption too); see {@link TensorCache}. Sizes in half
 * precision at 800 x 1066: about 9 MB an image behind either cut.
 */
export class FeatureCache {
  readonly #network: SplitNetwork;
  readonly #cache: TensorCache;
  readonly #identity: string;

  /** @param weights - says which weights the frozen part has, rounding included */
  constructor({ network, weights, ...options }: { network: SplitNetwork; weights: string } & TensorCacheOptions) {
    this.#network = network;
    const cut = `grounding-dino-${network.frozen}/1`;
    this.#cache = new TensorCache({ ...options, metadata: { cut, weights } });
    this.#identity = JSON.stringify({ cut, weights, dtype: this.#cache.dtype });
  }

  /** As {@link SplitNetwork.freeze}, image by image. */
  async freeze(inputs: BatchTensors): Promise<{ inputs: BatchTensors; computed: number }> {
    const { frozen } = this.#network;
    if (frozen === "nothing") return { inputs, computed: 0 };
    const { planes, ...rest } = inputs;
    const images = planes!.shape[0]!;
    const read = READ[frozen].filter((name) => inputs[name] !== undefined);
    const hosts = new Map(read.map((name) => [name, inputs[name]!.dataSync() as Float32Array | Int32Array]));
    const shapes = this.#network.frozenShapes(inputs);
    const columns = new Map<string, Float32Array>();
    for (const [name, shape] of Object.entries(shapes)) {
      columns.set(name, new Float32Array(images * shape.reduce((a, b) => a * b, 1)));
    }
    let computed = 0;
    for (let i = 0; i < images; i++) {
      const key = createHash("sha256").update(this.#identity);
      const rows: Record<string, { values: Float32Array | Int32Array; shape: number[] }> = {};
      for (const [name, values] of hosts) {
        const { shape } = inputs[name]!;
        const size = values.length / images;
        const row = values.subarray(i * size, (i + 1) * size);
        rows[name] = { values: row, shape: [1, ...shape.slice(1)] };
        key
          .update(`${name} ${shape.slice(1).join()}\n`)
          .update(new Uint8Array(row.buffer, row.byteOffset, row.byteLength));
      }
      const entry = await this.#cache.get(key.digest("hex"), shapes, () => this.#compute(rows));
      if (entry.computed) computed++;
      for (const [name, { data }] of entry.tensors) columns.get(name)!.set(data, i * data.length);
    }
    planes!.dispose();
    const outputs = Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [name, tf.tensor(columns.get(name)!, [images, ...shape])]),
    );
    return { inputs: { ...rest, ...outputs }, computed };
  }

  /** One image through the frozen part. */
  async #compute(
    rows: Readonly<Record<string, { values: Float32Array | Int32Array; shape: number[] }>>,
  ): Promise<Map<string, Float32Array>> {
    const single: Record<string, tf.Tensor> = {};
    // Copies: the rows are views of the whole batch.
    for (const [name, { values, shape }] of Object.entries(rows)) single[name] = tf.tensor(values.slice(), shape);
    const { planes: _, ...text } = single;
    const frozen = this.#network.freeze(single);
    const result = new Map<string, Float32Array>();
    for (const [name, tensor] of Object.entries(frozen)) {
      if (name in text) continue;
      result.set(name, Float32Array.from(await tensor.data()));
      tensor.dispose();
    }
    tf.dispose(text);
    return result;
  }
}
