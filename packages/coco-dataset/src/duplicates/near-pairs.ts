import { hammingDistance, type PerceptualHash } from "./perceptual-hash.js";

/** The hash is looked up by four words of 16 bits. */
const WORDS = 4;
/** Up to it the lookup is complete: four flips leave each word at most one bit away. */
export const MAX_NEAR_DISTANCE = 4;

/**
 * All pairs within `maxDistance` (at most 4) of each other. Up to three differing bits leave one of the four words untouched; four may hit
 * every word once, so each word's 16 one-bit neighbours are looked up as well.
 *
 * @returns positions, the smaller first
 */
export function nearPairs(hashes: readonly PerceptualHash[], maxDistance: number): [number, number][] {
  const tables = Array.from({ length: WORDS }, () => new Map<number, number[]>());
  const pairs: [number, number][] = [];
  hashes.forEach((hash, position) => {
    const seen = new Set<number>();
    tables.forEach((table, word) => {
      const value = wordOf(hash, word);
      const look = (key: number) => {
        for (const other of table.get(key) ?? []) {
          if (seen.has(other)) continue;
          seen.add(other);
          if (hammingDistance(hash, hashes[other]!) <= maxDistance) pairs.push([other, position]);
        }
      };
      look(value);
      if (maxDistance >= WORDS) for (let bit = 0; bit < 16; bit++) look(value ^ (1 << bit));
    });
    tables.forEach((table, word) => {
      const value = wordOf(hash, word);
      const list = table.get(value);
      if (list === undefined) table.set(value, [position]);
      else list.push(position);
    });
  });
  return pairs;
}

function wordOf({ high, low }: PerceptualHash, word: number): number {
  return ((word < 2 ? high : low) >>> (word % 2 === 0 ? 16 : 0)) & 0xffff;
}
