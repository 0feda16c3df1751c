/** Ids of [CLS], [SEP], "." and "?", which end a phrase. */
export const SPECIAL_IDS: readonly number[] = [101, 102, 1012, 1029];
export const PAD_ID = 0;

/** Which tokens see each other, and where each stands. */
export interface TextBlocks {
  /** [N, N], 1 = the token of the row sees the token of the column. */
  readonly mask: Uint8Array;
  /** [N], offset in the block. */
  readonly positions: Int32Array;
}

/**
 * Blocks of one row of ids, padding included. A special token at column c that is neither the first nor the last column closes the block from
 * behind the previous special (at least column 1) to c; its tokens see each other and count from 0. Every other token sees itself alone, at
 * position 0.
 *
 * @example textBlocks([101, 7, 8, 1012, 9, 1012, 102]).positions // [0, 0, 1, 2, 0, 1, 0]
 */
export function textBlocks(ids: ArrayLike<number>): TextBlocks {
  const n = ids.length;
  const mask = new Uint8Array(n * n);
  const positions = new Int32Array(n);
  for (let i = 0; i < n; i++) mask[i * n + i] = 1;
  let previous = 0;
  for (let c = 1; c < n - 1; c++) {
    if (!SPECIAL_IDS.includes(ids[c]!)) continue;
    for (let i = previous + 1; i <= c; i++) {
      mask.fill(1, i * n + previous + 1, i * n + c + 1);
      positions[i] = i - previous - 1;
    }
    previous = c;
  }
  return { mask, positions };
}

/** Columns [start, end) of one phrase, without its delimiter. */
export type PhraseColumns = readonly [start: number, end: number];

/**
 * Phrases of one row of ids in order: the runs between specials and padding.
 *
 * @example phraseColumns([101, 7, 8, 1012, 9, 1012, 102, 0]) // [[1, 3], [4, 5]]
 */
export function phraseColumns(ids: ArrayLike<number>): PhraseColumns[] {
  const phrases: PhraseColumns[] = [];
  let start = -1;
  for (let i = 0; i <= ids.length; i++) {
    const delimits = i === ids.length || ids[i] === PAD_ID || SPECIAL_IDS.includes(ids[i]!);
    if (!delimits && start < 0) start = i;
    if (delimits && start >= 0) {
      phrases.push([start, i]);
      start = -1;
    }
  }
  return phrases;
}
