import type { FuzzRandom } from "./fuzzer.js";

/** Numbers at which lengths and positions go wrong. */
const INTERESTING = [
  0, 1, 2, 3, 4, 8, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff,
];

/** A copy with a few bytes changed, put in or taken out, words set to odd numbers, pieces copied elsewhere, or the end cut off. */
export function damageBytes(random: FuzzRandom, bytes: Uint8Array): Uint8Array {
  let result = Uint8Array.from(bytes);
  for (let edits = 1 + random.below(4); edits > 0; edits--) {
    const at = random.below(result.length + 1);
    const kind = random.below(6);
    if (kind === 0) result = splice(result, at, random.below(3), []);
    else if (kind === 1)
      result = splice(
        result,
        at,
        0,
        Array.from({ length: 1 + random.below(9) }, () => random.pick([0xff, 0x80, random.below(256)])),
      );
    else if (kind === 2 && at + 4 <= result.length) {
      const word = random.chance(0.5) ? random.pick(INTERESTING) : random.below(2 * result.length + 1);
      new DataView(result.buffer).setUint32(at & ~3, word, true);
    } else if (kind === 3) {
      const piece = result.subarray(at, at + random.below(40));
      result = splice(result, random.below(result.length + 1), random.chance(0.5) ? piece.length : 0, [...piece]);
    } else if (kind === 4 && random.chance(0.3)) result = result.slice(0, at);
    else if (at < result.length)
      result[at] = random.chance(0.5) ? result[at]! ^ (1 << random.below(8)) : random.below(256);
  }
  return result;
}

function splice(bytes: Uint8Array, at: number, remove: number, insert: readonly number[]): Uint8Array<ArrayBuffer> {
  const end = Math.min(at + remove, bytes.length);
  const result = new Uint8Array(bytes.length - (end - at) + insert.length);
  result.set(bytes.subarray(0, at));
  result.set(insert, at);
  result.set(bytes.subarray(end), at + insert.length);
  return result;
}
