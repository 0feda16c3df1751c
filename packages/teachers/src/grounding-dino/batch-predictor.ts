import type { Box, RgbImage } from "@seg/coco-dataset";
import { decodeNormalizedBoxes, type GroundingDinoSizeOptions, prepareGroundingDino } from "@seg/preprocess";
import { type CompiledFunction, compile } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { PromptTooLongError } from "./errors.js";
import type { GroundingDino } from "./grounding-dino.js";
import { type EncodeCaption, textBatch, textOf, textTensors } from "./text-batch.js";

/** How the scores of a phrase's tokens become the score of the phrase. */
export type ClassScore = "max" | "mean";

/** Answer for one image; boxes in pixels of the image, xyxy. */
export interface ImageAnswer {
  /** [classes][queries], in [0, 1]. */
  readonly scores: readonly Float32Array[];
  /** By class group (one unless the classes needed several captions): boxes of the queries. */
  readonly boxes: readonly (readonly Box[])[];
  /** Class group of every class. */
  readonly groups: readonly number[];
  /** Boxes of the encoder's selected proposals, first group. */
  readonly proposals: readonly Box[];
}

/**
 * Phrases in as few captions as hold them in order, none above `limit` tokens.
 * @throws {@link PromptTooLongError} for a phrase that is too long alone
 */
export function splitPhrases(phrases: readonly string[], encode: EncodeCaption, limit: number): string[][] {
  const groups: string[][] = [];
  for (const phrase of phrases) {
    const last = groups.at(-1);
    if (last && encode([...last, phrase]).length <= limit) {
      last.push(phrase);
      continue;
    }
    const tokens = encode([phrase]).length;
    if (tokens > limit) throw new PromptTooLongError({ phrase, tokens, limit });
    groups.push([phrase]);
  }
  return groups;
}

type Inputs = { [name: string]: tf.Tensor };

/** The network for fixed phrases, one compiled graph per picture size. The caller disposes it. */
export class BatchPredictor {
  readonly #groups: readonly { readonly phrases: readonly string[]; readonly ids: ArrayLike<number> }[];
  readonly #size: GroundingDinoSizeOptions;
  readonly #queries: number;
  readonly #classScore: ClassScore;
  readonly #run: CompiledFunction<[Inputs], { scores: tf.Tensor; boxes: tf.Tensor; proposals: tf.Tensor }>;

  /** @param phrases - by class index, one caption together where they fit */
  constructor({
    model,
    phrases,
    encode,
    size,
    classScore = "max",
  }: {
    readonly model: GroundingDino;
    readonly phrases: readonly string[];
    readonly encode: EncodeCaption;
    readonly size: GroundingDinoSizeOptions;
    readonly classScore?: ClassScore;
  }) {
    this.#groups = splitPhrases(phrases, encode, model.config.maxTextLength).map((group) => ({
      phrases: group,
      ids: encode(group),
    }));
    this.#size = size;
    this.#queries = model.config.numQueries;
    this.#classScore = classScore;
    this.#run = compile(
      (inputs: Inputs) =>
        tf.tidy(() => {
          const pixels = tf.transpose(inputs["planes"]!, [0, 2, 3, 1]) as tf.Tensor4D;
          const { layers, proposals } = model.forward({ pixels, text: textOf(inputs) });
          const { tokenLogits, boxes } = layers.at(-1)!;
          return { scores: tf.sigmoid(tokenLogits), boxes, proposals: proposals.boxes };
        }),
      { name: "the detection" },
    );
  }

  /** @param images - all of one size after preparation: hand over one image, or images of equal sizes */
  async predict(images: readonly RgbImage[]): Promise<ImageAnswer[]> {
    const prepared = images.map((image) => prepareGroundingDino(image, this.#size));
    const { netW, netH } = prepared[0]!.geometry;
    const count = images.length;
    const planes = new Float32Array(count * 3 * netW * netH);
    for (const [i, { data }] of prepared.entries()) planes.set(data, i * 3 * netW * netH);
    const answers = images.map(() => ({
      scores: [] as Float32Array[],
      boxes: [] as Box[][],
      groups: [] as number[],
      proposals: [] as Box[],
    }));
    for (const [group, { ids }] of this.#groups.entries()) {
      const text = textBatch(images.map(() => ids));
      const inputs: Inputs = { planes: tf.tensor4d(planes, [count, 3, netH, netW]), ...textTensors(text) };
      const outputs = this.#run(inputs);
      const scores = (await outputs.scores.data()) as Float32Array;
      const boxes = outputs.boxes.dataSync() as Float32Array;
      const proposals = outputs.proposals.dataSync() as Float32Array;
      tf.dispose([inputs, outputs]);
      const queries = this.#queries;
      for (const [i, answer] of answers.entries()) {
        const { geometry } = prepared[i]!;
        const own = (values: Float32Array) =>
          decodeNormalizedBoxes(values.subarray(4 * i * queries, 4 * (i + 1) * queries), geometry);
        answer.boxes.push(own(boxes));
        if (group === 0) answer.proposals.push(...own(proposals));
        for (const [start, end] of text.phrases[i]!) {
          const row = new Float32Array(queries);
          for (let q = 0; q < queries; q++) {
            const tokens = scores.subarray(
              (i * queries + q) * text.length + start,
              (i * queries + q) * text.length + end,
            );
            row[q] =
              this.#classScore === "max" ? Math.max(...tokens) : tokens.reduce((a, b) => a + b, 0) / tokens.length;
          }
          answer.scores.push(row);
          answer.groups.push(group);
        }
      }
    }
    return answers;
  }

  dispose(): void {
    this.#run.dispose();
  }
}
