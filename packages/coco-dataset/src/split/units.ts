import type { CocoDataset, CocoImage } from "../document.js";
import { SplitError } from "../errors.js";
import type { Unit } from "./stratify.js";

/** How images are joined and what is kept in proportion. */
export interface UnitOptions {
  /** Images with the same value stay in one split: a key of the image records, or a function; null means ungrouped. */
  readonly groupBy?: string | ((image: CocoImage) => string | number | null);
  /** Further lists of image ids that stay together, for example the clusters of `findDuplicates`. */
  readonly together?: readonly (readonly number[])[];
  /** Also keep each class's small (area below 32^2), medium and large (from 96^2) objects in proportion. @defaultValue false */
  readonly sizeBins?: boolean;
  /** Also keep images with few and many objects (quartiles) in proportion. @defaultValue false */
  readonly countQuartiles?: boolean;
}

/** Units and the meaning of their labels: classes first, then `negative`, then the optional ones. */
export interface Units {
  readonly units: readonly Unit[];
  readonly numLabels: number;
}

const SIZES = 3;
const QUARTILES = 4;

/**
 * Images joined into units by group and cluster, in ascending order of their smallest id. Label k: an image with a non-crowd annotation of
 * class k; label K: an image without any.
 * @throws SplitError (reason `group-by`) when no image record has the key
 */
export function makeUnits(dataset: CocoDataset, categoryIds: readonly number[], options: UnitOptions): Units {
  const numClasses = categoryIds.length;
  const classOf = new Map(categoryIds.map((id, index) => [id, index]));
  const images = [...new Map(dataset.images.map((image) => [image.id, image])).values()].sort((a, b) => a.id - b.id);
  const objects = new Map<number, { instances: Map<number, number>; extra: Set<number>; count: number }>();
  for (const annotation of dataset.annotations) {
    const label = classOf.get(annotation.category_id);
    if (annotation.iscrowd === 1 || label === undefined) continue;
    let entry = objects.get(annotation.image_id);
    if (entry === undefined) {
      entry = { instances: new Map(), extra: new Set(), count: 0 };
      objects.set(annotation.image_id, entry);
    }
    entry.instances.set(label, (entry.instances.get(label) ?? 0) + 1);
    entry.count++;
    const area = annotation.area ?? 0;
    const size = area < 32 ** 2 ? 0 : area < 96 ** 2 ? 1 : 2;
    if (options.sizeBins === true) entry.extra.add(numClasses + 1 + SIZES * label + size);
  }
  const quartileStart = numClasses + 1 + (options.sizeBins === true ? SIZES * numClasses : 0);
  if (options.countQuartiles === true) {
    const counts = images.map(({ id }) => objects.get(id)?.count ?? 0).sort((a, b) => a - b);
    const bounds = [1, 2, 3].map((q) => counts[Math.floor((q * counts.length) / QUARTILES)] ?? 0);
    for (const { count, extra } of objects.values()) {
      extra.add(quartileStart + bounds.filter((bound) => count > bound).length);
    }
  }
  const units = new Map<number, { imageIds: number[]; labels: Map<number, number>; instances: Map<number, number> }>();
  const homes = joinImages(images, options);
  for (const { id } of images) {
    const home = homes.get(id)!;
    let unit = units.get(home);
    if (unit === undefined) {
      unit = { imageIds: [], labels: new Map(), instances: new Map() };
      units.set(home, unit);
    }
    unit.imageIds.push(id);
    const entry = objects.get(id);
    const labels = entry === undefined ? [numClasses] : [...entry.instances.keys(), ...entry.extra];
    for (const label of labels) unit.labels.set(label, (unit.labels.get(label) ?? 0) + 1);
    for (const [label, count] of entry?.instances ?? []) {
      unit.instances.set(label, (unit.instances.get(label) ?? 0) + count);
    }
  }
  const numLabels = quartileStart + (options.countQuartiles === true ? QUARTILES : 0);
  return { units: [...units.values()], numLabels };
}

/** Image id -> smallest id of its unit. */
function joinImages(images: readonly CocoImage[], { groupBy, together = [] }: UnitOptions): Map<number, number> {
  if (typeof groupBy === "string" && !images.some((image) => image[groupBy] !== undefined)) {
    throw new SplitError({ reason: "group-by", message: `groupBy "${groupBy}": no image record has that key.` });
  }
  const parent = new Map(images.map(({ id }) => [id, id]));
  const find = (id: number): number => {
    let root = id;
    while (parent.get(root)! !== root) root = parent.get(root)!;
    for (let at = id; at !== root; ) {
      const next = parent.get(at)!;
      parent.set(at, root);
      at = next;
    }
    return root;
  };
  const join = (a: number, b: number) => {
    const [x, y] = [find(a), find(b)];
    if (x !== y) parent.set(Math.max(x, y), Math.min(x, y));
  };
  const first = new Map<string, number>();
  for (const image of images) {
    const group = groupOf(image, groupBy);
    if (group === null) continue;
    const known = first.get(group);
    if (known === undefined) first.set(group, image.id);
    else join(known, image.id);
  }
  for (const list of together) {
    const present = list.filter((id) => parent.has(id));
    for (const id of present) join(present[0]!, id);
  }
  return new Map(images.map(({ id }) => [id, find(id)]));
}

/** The group of an image as text, null when it has none. */
export function groupOf(image: CocoImage, groupBy: UnitOptions["groupBy"]): string | null {
  if (groupBy === undefined) return null;
  const value = typeof groupBy === "string" ? image[groupBy] : groupBy(image);
  return value === undefined || value === null ? null : String(value);
}
