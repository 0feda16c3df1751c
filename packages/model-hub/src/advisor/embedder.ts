const DIMENSIONS = 512;

/** Turns texts into vectors of one length whose cosine says how alike they are. */
export interface Embedder {
  /** What is compared, in words: told beside every likeness. */
  readonly measure: string;
  /** @returns one unit vector per text; all zeros for a text without words */
  embed(texts: readonly string[]): Promise<readonly Float32Array[]> | readonly Float32Array[];
  /** Words of a text that say nothing to it, so that {@link Embedder.embed} leaves them out. */
  unknownWords?(text: string): readonly string[];
}

/** Lower-case words of letters and digits, accents kept. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

/** One step of 32-bit FNV-1a, over UTF-16 units: spreads grams over the dimensions, the same everywhere. */
const step = (hash: number, unit: number): number => Math.imul(hash ^ unit, 0x01000193);
const START = 0x811c9dc5;
const BLANK = 32;

/**
 * Counts words and, within words between blanks, grams of 3 to 5 characters: spellings and endings meet half way. Grams are hashed as they
 * grow, without strings of their own.
 */
function countGrams(text: string): Float64Array {
  const counts = new Float64Array(DIMENSIONS);
  const count = (hash: number) => {
    counts[(hash >>> 0) % DIMENSIONS]!++;
  };
  for (const word of wordsOf(text)) {
    const last = word.length + 1;
    const unit = (i: number) => (i === 0 || i === last ? BLANK : word.charCodeAt(i - 1));
    // A word of its own is told from the same letters inside of a gram by its start.
    let whole = step(START, 0);
    for (let i = 1; i < last; i++) whole = step(whole, unit(i));
    count(whole);
    for (let from = 0; from + 2 <= last; from++) {
      let gram = step(step(START, unit(from)), unit(from + 1));
      for (let to = from + 2; to <= Math.min(last, from + 4); to++) {
        gram = step(gram, unit(to));
        count(gram);
      }
    }
  }
  return counts;
}

/**
 * TF-IDF of hashed words and character grams, L2-normalised, 512 dimensions; no model needed. Document frequencies are those of the
 * texts that are embedded together, so task and candidates belong in one call.
 */
export const hashedEmbedder: Embedder = {
  measure: "words and character grams",
  embed(texts) {
    const counts = texts.map(countGrams);
    const documents = new Float64Array(DIMENSIONS);
    for (const count of counts) for (let bin = 0; bin < DIMENSIONS; bin++) if (count[bin]! > 0) documents[bin]!++;
    // Smoothed: a term of every document still counts a little.
    const rarity = documents.map((frequency) => Math.log((1 + texts.length) / (1 + frequency)) + 1);
    return counts.map((count) => {
      const vector = new Float32Array(DIMENSIONS);
      let squares = 0;
      for (let bin = 0; bin < DIMENSIONS; bin++) {
        if (count[bin] === 0) continue;
        const value = (1 + Math.log(count[bin]!)) * rarity[bin]!;
        vector[bin] = value;
        squares += value * value;
      }
      const norm = Math.sqrt(squares) || 1;
      for (let bin = 0; bin < DIMENSIONS; bin++) vector[bin]! /= norm;
      return vector;
    });
  },
};

/** Cosine of unit vectors. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
