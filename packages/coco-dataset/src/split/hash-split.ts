import { createHash } from "node:crypto";
import { type ClassDistribution, classDistribution } from "../class-distribution.js";
import type { CocoDataset } from "../document.js";
import { DEFAULT_RATIOS, parseRatios, type SplitRatios } from "./ratios.js";
import { subset } from "./split-dataset.js";
import { groupOf, type UnitOptions } from "./units.js";

/** Domain of the hashes, so that they are unrelated to any other use of the same names. */
const SALT = "seg-hash/1";

/**
 * A number in [0, 1) that depends on a name alone: the top 53 bits of the first 8 bytes (big-endian) of SHA-256(salt, NUL, key) / 2^53.
 * @example hashFraction("a.jpg") // 0.34886157088461944
 */
export function hashFraction(key: string, salt: string = SALT): number {
  const digest = createHash("sha256").update(`${salt}\0${key}`, "utf8").digest();
  return Number(digest.readBigUInt64BE(0) >> 11n) / 2 ** 53;
}

/**
 * Splits by the hash of the group or file name: images that are added later never move the others. Sizes and classes only follow the
 * ratios on average; nothing is stratified.
 *
 * @throws SplitError (reason `ratios`)
 */
export function hashSplit(
  dataset: CocoDataset,
  {
    ratios = DEFAULT_RATIOS,
    salt = SALT,
    groupBy,
  }: { ratios?: string | SplitRatios; salt?: string } & Pick<UnitOptions, "groupBy"> = {},
): { splits: Readonly<Record<string, CocoDataset>>; distribution: ClassDistribution } {
  const parsed = parseRatios(ratios);
  const ids = parsed.map(() => new Set<number>());
  const bounds = parsed.map((_, j) => parsed.slice(0, j + 1).reduce((sum, [, ratio]) => sum + ratio, 0));
  for (const image of dataset.images) {
    const u = hashFraction(groupOf(image, groupBy) ?? image.file_name, salt);
    // The last split also takes what rounding leaves above the sum.
    const j = bounds.findIndex((bound) => u < bound);
    ids[j < 0 ? bounds.length - 1 : j]!.add(image.id);
  }
  const splits = Object.fromEntries(parsed.map(([name], j) => [name, subset(dataset, ids[j]!)]));
  return { splits, distribution: classDistribution(dataset, splits) };
}
