const DIMENSIONS = 512;

/** Turns texts into vectors of one length whose cosine says how alike they are. */
export interface Embedder {
  /** @returns one unit vector per text; all zeros for a text without words */
  embed(texts: readonly string[]): Promise<readonly Float32Array[]> | readonly Float32Array[];
}

/** Lower-case words of letters and digits, accents kept. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

/** 32-bit FNV-1a of UTF-16 units: spreads grams over the dimensions, the same everywhere. */
function hash(gram: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < gram.length; i++) value = Math.imul(value ^ gram.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/** Words and, across word borders marked by blanks, 3- to 5-grams of characters: spellings and endings meet half way. */
function gramsOf(text: string): string[] {
  return wordsOf(text).flatMap((word) => {
    const grams = [`w:${word}`];
    const padded = ` ${word} `;
    for (let length = 3; length <= 5; length++) {
      for (let start = 0; start + length <= padded.length; start++) grams.push(padded.slice(start, start + length));
    }
    return grams;
  });
}

/**
 * TF-IDF of hashed words and character grams, L2-normalised, 512 dimensions; no model needed. Document frequencies are those of the
 * texts that are embedded together, so task and candidates belong in one call.
 */
export const hashedEmbedder: Embedder = {
  embed(texts) {
    const counts = texts.map((text) => {
      const count = new Map<number, number>();
      for (const gram of gramsOf(text)) {
        const bin = hash(gram) % DIMENSIONS;
        count.set(bin, (count.get(bin) ?? 0) + 1);
      }
      return count;
    });
    const documents = new Float64Array(DIMENSIONS);
    for (const count of counts) for (const bin of count.keys()) documents[bin]!++;
    return counts.map((count) => {
      const vector = new Float32Array(DIMENSIONS);
      let squares = 0;
      for (const [bin, frequency] of count) {
        // Smoothed: a term of every document still counts a little.
        const value = (1 + Math.log(frequency)) * (Math.log((1 + texts.length) / (1 + documents[bin]!)) + 1);
        vector[bin] = value;
        squares += value * value;
      }
      if (squares === 0) return vector;
      const norm = Math.sqrt(squares);
      return vector.map((value) => value / norm);
    });
  },
};

/** Cosine of unit vectors. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
