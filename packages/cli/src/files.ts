import { existsSync, mkdirSync } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import type { CocoDataset } from "@seg/coco-dataset";
import { writeFileAtomic as writeBytes } from "@seg/nn";
import { CommandError } from "./errors.js";

/** Key of a split file that says where its images lie: relative to the file, or absolute. Unknown keys are legal COCO. */
export const IMAGES_DIR_KEY = "seg_images_dir";

/** Writes a file so that it exists whole or not at all; makes its folder. */
export function writeFileAtomic(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeBytes(path, [typeof content === "string" ? new TextEncoder().encode(content) : content]);
}

export const writeJson = (path: string, value: unknown): void =>
  writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);

/** The deepest folder that holds all of these folders; absolute. */
export function commonParent(folders: readonly string[]): string {
  const [first, ...others] = folders.map((folder) => resolve(folder)) as [string, ...string[]];
  const holds = (outer: string, inner: string) => {
    const path = relative(outer, inner);
    return path !== ".." && !path.startsWith(`..${sep}`) && resolve(outer, path) === inner;
  };
  let parent = first;
  while (!others.every((folder) => holds(parent, folder)) && dirname(parent) !== parent) parent = dirname(parent);
  return parent;
}

/**
 * Folder of a dataset's images: the option, what the file itself says, `images/` beside the file, or the file's folder, the first
 * that holds the first image.
 * @throws {@link CommandError} `cli/images-not-found` naming the places that were searched
 */
export async function imagesDirectory({
  dataset,
  path,
  option,
}: {
  dataset: CocoDataset;
  path: string;
  option?: string | undefined;
}): Promise<string> {
  const home = dirname(resolve(path));
  const own = (dataset as unknown as Record<string, unknown>)[IMAGES_DIR_KEY];
  const candidates =
    option !== undefined
      ? [resolve(option)]
      : [...(typeof own === "string" ? [resolve(home, own)] : []), join(home, "images"), home];
  const first = dataset.images[0]?.file_name;
  for (const candidate of candidates) {
    if (!existsSync(candidate) || !(await stat(candidate)).isDirectory()) continue;
    // With an explicit folder single missing files are the validator's business.
    if (
      option !== undefined ||
      first === undefined ||
      dataset.images.slice(0, 5).some((i) => existsSync(join(candidate, i.file_name)))
    ) {
      return candidate;
    }
  }
  throw new CommandError({
    code: "cli/images-not-found",
    message: `No image of ${path} was found in ${candidates.join(", ")} (first: ${first ?? "none"}). Give the folder with --images DIR.`,
  });
}
