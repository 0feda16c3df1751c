import { type CompiledFunction, compile } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { maskBias } from "./attention.js";
import { splitPhrases } from "./batch-predictor.js";
import type { GroundingDinoTeacher } from "./teacher.js";
import { textBatch, textOf, textTensors } from "./text-batch.js";

/** Captions in one run of the network; incomplete batches are filled up, so that one graph serves all of a length. */
const BATCH = 16;
/** Captions are padded to multiples of this, for the same reason. */
const LENGTH_STEP = 16;
/** A piece that can carry a meaning: two letters, or one of a script that writes words with one. */
const MEANINGFUL = /.{2}|\p{Script=Han}/u;

/** Texts to vectors by a text encoder; what a recommender takes as its measure of likeness. */
export interface TextEmbedder {
  /** What is compared, in words. */
  readonly measure: string;
  /** @returns one unit vector [hidden size] per text; all zeros for a text of which no word is known */
  embed(texts: readonly string[]): Promise<readonly Float32Array[]>;
  /** Words of a text that the vocabulary only spells letter by letter; they are left out of {@link TextEmbedder.embed}. */
  unknownWords(text: string): string[];
  /** Frees the graphs; the teacher stays as it is. */
  dispose(): void;
}

type Inputs = { [name: string]: tf.Tensor };

/**
 * The text encoder of Grounding DINO, a BERT that was trained to name objects, as a measure of likeness: the mean of its last layer's vectors
 * over all tokens but the special ones, L2-normalised. Sentences are phrases of a caption and do not see each other, as in training; a text
 * longer than a caption is read in several.
 *
 * A word that the vocabulary spells letter by letter carries no meaning of its own and is left out: a small vocabulary would find all foreign
 * words alike.
 *
 * @param name - of the model, for {@link TextEmbedder.measure}
 * @example
 * const { embed } = textEmbedder(GroundingDinoTeacher.fromPretrained(folder), { name: "grounding-dino-tiny" });
 * const [a, b] = await embed(["red bag", "orange bag"]); // the dot product of a and b is their cosine
 */
export function textEmbedder(
  { model, processor }: Pick<GroundingDinoTeacher, "model" | "processor">,
  { name }: { readonly name: string },
): TextEmbedder {
  const { config } = model;
  const limit = Math.min(config.maxTextLength, config.text.maxPositionEmbeddings);
  const width = config.text.hiddenSize;
  const { encode, pieces } = processor;
  const known = (word: string) =>
    pieces(word).some((piece) => piece !== "[UNK]" && MEANINGFUL.test(piece.replace(/^##/, "")));
  const run: CompiledFunction<[Inputs], tf.Tensor> = compile(
    (inputs: Inputs) =>
      tf.tidy(() => {
        const { inputIds, positionIds, blockMask } = textOf(inputs);
        const bias = maskBias(tf.expandDims(blockMask, 1)) as tf.Tensor4D;
        return model.model.text_backbone.forward({ inputIds, positionIds, tokenTypeIds: null, bias });
      }),
    { name: "the text encoder" },
  );

  /** Sentences of known words, none longer than a caption. */
  function sentencesOf(text: string): string[] {
    const sentences: string[] = [];
    for (const sentence of text.split(/[.?!;\n]+/)) {
      let part = "";
      for (const word of wordsOf(sentence).filter(known)) {
        const longer = part === "" ? word : `${part} ${word}`;
        if (part !== "" && encode([longer]).length > limit) {
          sentences.push(part);
          part = word;
        } else part = longer;
      }
      if (part !== "") sentences.push(part);
    }
    return sentences;
  }

  /** Adds the vectors of all tokens inside of phrases to the sum of the text that a caption belongs to. */
  async function addUp(captions: readonly Caption[], length: number, sums: readonly Float32Array[]): Promise<void> {
    const filled = Array.from({ length: BATCH }, (_, i) => captions[i]?.ids ?? captions[0]!.ids);
    const batch = textBatch(filled, { length });
    const inputs: Inputs = { ...textTensors(batch) };
    const hidden = run(inputs);
    const values = (await hidden.data()) as Float32Array;
    tf.dispose([inputs, hidden]);
    for (const [b, { text }] of captions.entries()) {
      const sum = sums[text]!;
      for (const [start, end] of batch.phrases[b]!) {
        for (let token = start; token < end; token++) {
          const at = (b * length + token) * width;
          for (let c = 0; c < width; c++) sum[c]! += values[at + c]!;
        }
      }
    }
  }

  return {
    measure: `the text encoder of ${name}`,
    unknownWords: (text) => [...new Set(wordsOf(text).filter((word) => !known(word)))],
    async embed(texts) {
      const captions = texts.flatMap((text, index): Caption[] =>
        splitPhrases(sentencesOf(text), encode, limit).map((phrases) => ({ text: index, ids: encode(phrases) })),
      );
      const byLength = new Map<number, Caption[]>();
      for (const caption of captions) {
        const length = Math.min(limit, Math.ceil(caption.ids.length / LENGTH_STEP) * LENGTH_STEP);
        const others = byLength.get(length);
        if (others === undefined) byLength.set(length, [caption]);
        else others.push(caption);
      }
      const sums = texts.map(() => new Float32Array(width));
      for (const [length, group] of [...byLength].sort(([a], [b]) => a - b)) {
        for (let from = 0; from < group.length; from += BATCH) {
          await addUp(group.slice(from, from + BATCH), length, sums);
        }
      }
      return sums.map((sum) => {
        const norm = Math.hypot(...sum) || 1;
        return sum.map((value) => value / norm);
      });
    },
    dispose: () => run.dispose(),
  };
}

/** Token ids of a caption, and the text that it is a part of. */
interface Caption {
  readonly text: number;
  readonly ids: readonly number[];
}

/** Lower-case words of letters and digits. */
const wordsOf = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
