/** Bits that one look-up decodes; LOOK of assembly/jpeg.ts. */
const LOOK = 10;
/** Byte offsets in a table and its size; those of assembly/jpeg.ts. */
const LIMITS = 4096;
const DELTAS = 4168;
const SYMBOLS = 4240;
export const HUFFMAN_TABLE_BYTES = 4496;
const CODE_ONLY = 0x80;
/** Run of the entry that ends a block: beyond every possible index. */
const END_OF_BLOCK = 128;

/** A table as a JPEG defines it: number of codes of each length 1..16, and their symbols in order. */
export interface HuffmanSpec {
  readonly counts: Uint8Array;
  readonly symbols: Uint8Array;
}

/**
 * The table as the kernels read it. An entry for the next 10 bits is bits used | run << 8 | value << 16 where code and value fit into
 * them, else code length | 128 | symbol << 8; 0 for longer codes, which limits and deltas decode.
 *
 * @param isDc - symbols are sizes alone; otherwise run << 4 | size
 * @returns null where the lengths are those of no prefix code
 */
export function huffmanTable({ counts, symbols }: HuffmanSpec, isDc: boolean): Uint8Array | null {
  const bytes = new Uint8Array(HUFFMAN_TABLE_BYTES);
  const entries = new Int32Array(bytes.buffer, 0, 1 << LOOK);
  const limits = new Int32Array(bytes.buffer, LIMITS, 18);
  const deltas = new Int32Array(bytes.buffer, DELTAS, 18);
  bytes.set(symbols.subarray(0, 256), SYMBOLS);
  let code = 0;
  let k = 0;
  for (let length = 1; length <= 16; length++) {
    deltas[length] = k - code;
    for (let i = 0; i < counts[length - 1]!; i++, k++, code++) {
      // The code of ones alone is reserved.
      if (code >= (1 << length) - 1) return null;
      const symbol = symbols[k]!;
      if (isDc && symbol > 11) return null;
      if (length <= LOOK) fillEntries(entries, { code, length, symbol, isDc });
    }
    limits[length] = code << (16 - length);
    code <<= 1;
  }
  return bytes;
}

/** All entries that begin with a code. */
function fillEntries(
  entries: Int32Array,
  { code, length, symbol, isDc }: { code: number; length: number; symbol: number; isDc: boolean },
): void {
  const free = LOOK - length;
  const size = isDc ? symbol : symbol & 15;
  const run = isDc ? 0 : symbol >> 4;
  const isEnd = !isDc && size === 0 && run !== 15;
  for (let rest = 0; rest < 1 << free; rest++) {
    let entry: number;
    if (isEnd) entry = length | (END_OF_BLOCK << 8);
    else if (size <= free) {
      const raw = (rest >> (free - size)) & ((1 << size) - 1);
      const value = size > 0 && raw < 1 << (size - 1) ? raw - (1 << size) + 1 : raw;
      // A run of sixteen zeros is fifteen and one more value, which is 0.
      entry = (length + size) | (run << 8) | (value << 16);
    } else entry = length | CODE_ONLY | (symbol << 8);
    entries[(code << free) | rest] = entry;
  }
}
