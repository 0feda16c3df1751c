import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { CocoDataset, CocoImage } from "../document.js";
import { CocoError } from "../errors.js";
import { loadSharp } from "../load-sharp.js";
import { forEachConcurrently, imagePath } from "../validate/images.js";
import type { DuplicateReport } from "./duplicate-findings.js";
import { MAX_NEAR_DISTANCE, nearPairs } from "./near-pairs.js";
import { dctHash, differenceHash, type PerceptualHash, toGray } from "./perceptual-hash.js";

/** A search for duplicates that cannot be made as asked. */
export class DuplicateOptionsError extends CocoError {
  override readonly name = "DuplicateOptionsError";
  readonly code = "coco/duplicate-options";
}

interface Fingerprint {
  readonly image: CocoImage;
  readonly bytes: string;
  readonly pixels: string;
  readonly hash: PerceptualHash;
}

/**
 * Exact duplicates (SHA-256 of the bytes, or of the decoded RGB) and near ones (64-bit perceptual hash, Hamming distance up to
 * `maxDistance`). Give the near clusters to `splitDataset({ together })` so that no split shares a picture with another.
 *
 * @param options.imagesDir - folder of the image files
 * @param options.hash - `difference` (dHash) or `dct` (pHash). @defaultValue "difference"
 * @param options.maxDistance - 0 to 4. @defaultValue 4
 * @throws DuplicateOptionsError when maxDistance is out of range
 * @throws SharpMissingError `coco/sharp-missing`
 */
export async function findDuplicates(
  dataset: CocoDataset,
  {
    imagesDir,
    hash = "difference",
    maxDistance = MAX_NEAR_DISTANCE,
    signal,
  }: { imagesDir: string; hash?: "difference" | "dct"; maxDistance?: number; signal?: AbortSignal },
): Promise<DuplicateReport> {
  if (!(Number.isInteger(maxDistance) && maxDistance >= 0 && maxDistance <= MAX_NEAR_DISTANCE)) {
    throw new DuplicateOptionsError(
      `maxDistance is ${maxDistance}, expected 0 to ${MAX_NEAR_DISTANCE}: beyond it the lookup would miss pairs.`,
    );
  }
  const sharp = await loadSharp("Finding duplicate images");
  const root = resolve(imagesDir);
  const found: Fingerprint[] = [];
  const unreadable: number[] = [];
  await forEachConcurrently(
    dataset.images,
    async (image) => {
      try {
        const path = imagePath(root, image.file_name);
        if (path === null) throw new Error("outside the folder");
        const bytes = await readFile(path);
        const { data, info } = await sharp(bytes, { failOn: "error" })
          .toColourspace("srgb")
          .removeAlpha()
          .raw({ depth: "uchar" })
          .toBuffer({ resolveWithObject: true });
        const gray = toGray(data, info.width, info.height);
        found.push({
          image,
          bytes: createHash("sha256").update(bytes).digest("hex"),
          pixels: createHash("sha256").update(`${info.width}x${info.height}:`).update(data).digest("hex"),
          hash: hash === "dct" ? dctHash(gray) : differenceHash(gray),
        });
      } catch {
        // Missing and damaged files are findings of validateDataset; here they only take no part.
        signal?.throwIfAborted();
        unreadable.push(image.id);
      }
    },
    signal,
  );
  found.sort((a, b) => a.image.id - b.image.id);
  const exactPairs = [...equalPairs(found, ({ bytes }) => bytes), ...equalPairs(found, ({ pixels }) => pixels)];
  const near = nearPairs(
    found.map((item) => item.hash),
    maxDistance,
  );
  const idOf = (position: number) => found[position]!.image.id;
  return {
    exact: clusters(exactPairs, idOf),
    near: clusters([...exactPairs, ...near], idOf),
    maxDistance,
    unreadable: unreadable.sort((a, b) => a - b),
  };
}

function equalPairs(items: readonly Fingerprint[], keyOf: (item: Fingerprint) => string): [number, number][] {
  const first = new Map<string, number>();
  return items.flatMap((item, position): [number, number][] => {
    const known = first.get(keyOf(item));
    if (known !== undefined) return [[known, position]];
    first.set(keyOf(item), position);
    return [];
  });
}

/** Connected components of the pairs as ascending ids, by their smallest id. */
function clusters(pairs: readonly (readonly [number, number])[], idOf: (position: number) => number): number[][] {
  const parent = new Map<number, number>();
  const find = (item: number): number => {
    const above = parent.get(item) ?? item;
    if (above === item) return item;
    const root = find(above);
    parent.set(item, root);
    return root;
  };
  for (const [a, b] of pairs) {
    const [x, y] = [find(a), find(b)];
    parent.set(Math.max(x, y), Math.min(x, y));
  }
  const groups = new Map<number, Set<number>>();
  for (const item of new Set(pairs.flat())) {
    const root = find(item);
    const group = groups.get(root);
    if (group === undefined) groups.set(root, new Set([idOf(item)]));
    else group.add(idOf(item));
  }
  return [...groups.values()]
    .map((group) => [...group].sort((a, b) => a - b))
    .filter((group) => group.length > 1)
    .sort((a, b) => a[0]! - b[0]!);
}
