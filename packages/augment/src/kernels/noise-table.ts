import { CounterRandom } from "../philox.js";

/** Entries of the table; a power of two. */
export const NOISE_SIZE = 2 ** 17;
export const NOISE_MASK = NOISE_SIZE - 1;
/** Standard deviation of the entries: 8 sigma reach the int16 limit. */
export const NOISE_UNIT = 4096;

let table: Int16Array | null = null;

/**
 * Standard normal numbers times {@link NOISE_UNIT}, drawn once from the counter generator: the same table in every process. Reading it
 * from drawn offsets costs a load per byte, where Box-Muller costs a logarithm and a cosine. Immutable once made, so safe to share.
 */
export function noiseTable(): Int16Array {
  if (table === null) {
    const random = new CounterRandom({ seed: 0, path: "noise-table" });
    table = new Int16Array(NOISE_SIZE);
    for (let i = 0; i < NOISE_SIZE; i += 2) {
      // Both outputs of Box-Muller.
      const radius = NOISE_UNIT * Math.sqrt(-2 * Math.log((random.uint32() + 1) * 2 ** -32));
      const angle = 2 * Math.PI * random.uint32() * 2 ** -32;
      table[i] = Math.max(-32767, Math.min(32767, Math.round(radius * Math.cos(angle))));
      table[i + 1] = Math.max(-32767, Math.min(32767, Math.round(radius * Math.sin(angle))));
    }
  }
  return table;
}
