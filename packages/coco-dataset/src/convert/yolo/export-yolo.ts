import { createClassMapping } from "../../class-mapping.js";
import type { CocoAnnotation, CocoDataset, CocoImage } from "../../document.js";
import { CocoSchemaError } from "../../errors.js";
import { annotationsOf } from "../../instances.js";
import { fromPolygons } from "../../mask/polygons.js";
import { hasUsableKeypoints, isPolygons, usableBbox, usableSegmentation } from "../../presence.js";
import { segmentationToRle } from "../../segmentation.js";
import { MaskAuditor } from "../audit-masks.js";
import type { Conversion } from "../conversion.js";
import { ConversionLossError } from "../errors.js";
import { ImportIssues } from "../import-issues.js";
import { LossList } from "../loss-list.js";
import { CLASS_MAPPING_FILE, formatClassMapping } from "./class-mapping-file.js";
import { formatDataYaml } from "./data-yaml.js";
import { boxRow, parseLabelRows, polygonRow } from "./label-rows.js";
import { maskRing } from "./mask-ring.js";

/** Options of a conversion to YOLO. */
export interface YoloExportOptions {
  /** Image ids by split (train, val, test). @defaultValue all images in `train` */
  readonly splits?: Readonly<Record<string, readonly number[]>>;
  /**
   * What becomes of boxes without a mask where other annotations have masks: rectangles as polygons, or boxes for all (which drops the
   * masks). Without a choice such data is refused: YOLO must not mix the two kinds of rows.
   */
  readonly onMixed?: "box-polygon" | "boxes";
  /** Write in spite of losses. @defaultValue false */
  readonly allowLoss?: boolean;
  /**
   * Largest distance in pixels by which the outline of a traced mask (run lengths, parts that overlap) may move, for shorter rows. Above 0
   * masks change: lower `minIou` to what is tolerable. @defaultValue 0
   */
  readonly simplify?: number;
  /** Masks that come back with a lower IoU are losses. @defaultValue 1 */
  readonly minIou?: number;
  readonly signal?: AbortSignal;
}

/** Names that data.yaml knows. */
const SPLITS = ["train", "val", "test"];
/** Keys that a conversion reads; others have no place in YOLO. */
const KNOWN = new Set<string>(
  "id image_id category_id bbox area iscrowd segmentation keypoints num_keypoints caption seg_generated".split(" "),
);
/** Pixels that a box may stand out of the image without being changed by clipping: rounding, not geometry. */
const ROUNDING = 1e-6;

/**
 * Label files, `data.yaml` and the class mapping of a YOLO dataset. With any mask every row is a polygon, else every row a box. Class =
 * index of the class mapping. An object stays one row: its parts and holes become one ring through bridges. Crowd regions are left out
 * and counted. Every mask is read back from the written text and compared.
 *
 * @throws ConversionLossError naming what would be lost, unless `allowLoss`; nothing is written here
 * @throws CocoSchemaError on file names that lead out of the dataset or share a label file
 */
export function exportYolo(dataset: CocoDataset, options: YoloExportOptions = {}): Conversion {
  const { onMixed, allowLoss = false, minIou = 1, simplify = 0, signal } = options;
  const mapping = createClassMapping(dataset);
  const classOf = new Map(mapping.classes.map(({ categoryId, index }) => [categoryId, index]));
  const losses = new LossList();
  const auditor = new MaskAuditor({ minIou });
  const usesMasks = onMixed !== "boxes" && dataset.annotations.some((a) => a.iscrowd !== 1 && usableSegmentation(a));
  if (usesMasks && onMixed === undefined) refuseMixed(dataset);

  const files = new Map<string, string>();
  const images: { fileName: string; path: string }[] = [];
  const splitOf = splitsById(dataset, options.splits, losses);
  const used = new Set<string>();
  let numWritten = 0;
  dataset.images.forEach((image, position) => {
    signal?.throwIfAborted();
    const split = splitOf.get(image.id);
    if (split === undefined) return;
    const place = placeOf(image, position, split, files);
    const rows: { text: string; annotation: CocoAnnotation }[] = [];
    for (const annotation of annotationsOf(dataset, image.id)) {
      const classIndex = classOf.get(annotation.category_id);
      const text =
        classIndex === undefined ? null : rowOf({ annotation, image, classIndex, usesMasks, simplify, losses });
      if (text !== null) rows.push({ text, annotation });
    }
    const text = rows.map((row) => `${row.text}\n`).join("");
    files.set(place.label, text);
    images.push({ fileName: image.file_name, path: place.image });
    used.add(split);
    numWritten += rows.length;
    if (usesMasks) audit({ rows, text, label: place.label, image, numClasses: mapping.classes.length, auditor });
  });
  for (const id of auditor.changedIds) {
    losses.add("mask_changed", id, `masks differ from the annotated ones (IoU below ${minIou})`, true);
  }
  const lossReport = {
    to: "yolo",
    numImages: images.length,
    numAnnotations: dataset.annotations.length,
    numWritten,
    losses: losses.list(),
    audit: auditor.result(),
  } as const;
  const refused = lossReport.losses.filter((loss) => loss.needsConsent);
  if (refused.length > 0 && !allowLoss) throw new ConversionLossError({ to: "YOLO", losses: refused });
  const folders = SPLITS.filter((split) => used.has(split)).map((split) => [split, `images/${split}`]);
  files.set(
    "data.yaml",
    formatDataYaml({ names: mapping.classes.map(({ name }) => name), splits: Object.fromEntries(folders) }),
  );
  files.set(CLASS_MAPPING_FILE, formatClassMapping(mapping));
  return { files, images, lossReport };
}

function refuseMixed(dataset: CocoDataset): void {
  const boxes = dataset.annotations.filter(
    (a) => a.iscrowd !== 1 && usableSegmentation(a) === null && usableBbox(a) !== null,
  );
  if (boxes.length === 0) return;
  const losses = new LossList();
  for (const { id } of boxes) {
    losses.add(
      "box_as_polygon",
      id,
      'annotations have a box but no mask, others have masks, and YOLO must not mix both. Choose onMixed: "box-polygon" (rectangles) or "boxes" (drops the masks)',
      true,
    );
  }
  throw new ConversionLossError({ to: "YOLO", losses: losses.list() });
}

/** Split of each image id; images that no split lists are losses. */
function splitsById(
  dataset: CocoDataset,
  splits: Readonly<Record<string, readonly number[]>> | undefined,
  losses: LossList,
): Map<number, string> {
  if (splits === undefined) return new Map(dataset.images.map(({ id }) => [id, "train"]));
  const result = new Map<number, string>();
  for (const [name, ids] of Object.entries(splits)) {
    if (!SPLITS.includes(name)) {
      throw new CocoSchemaError({ path: `/splits/${name}`, expected: "train, val or test", got: name });
    }
    for (const id of ids) result.set(id, name);
  }
  for (const { id } of dataset.images) {
    if (!result.has(id)) losses.add("image_not_in_split", id, "images belong to no split and are left out", true);
  }
  return result;
}

/** Where an image and its labels go. A leading folder that repeats the split is dropped. */
function placeOf(
  image: CocoImage,
  position: number,
  split: string,
  files: ReadonlyMap<string, string>,
): { image: string; label: string } {
  const parts = image.file_name.replaceAll("\\", "/").split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..") || /^[a-z]:$/i.test(parts[0]!)) {
    throw new CocoSchemaError({
      path: `/images/${position}/file_name`,
      expected: "a relative path inside the folder of images",
      got: image.file_name,
    });
  }
  const below = (parts.length > 1 && parts[0] === split ? parts.slice(1) : parts).join("/");
  const label = `labels/${split}/${below.replace(/\.[^./]+$/, "")}.txt`;
  if (files.has(label)) {
    throw new CocoSchemaError({
      path: `/images/${position}/file_name`,
      expected: `a name of its own: another image already has the label file ${label}`,
      got: image.file_name,
    });
  }
  return { image: `images/${split}/${below}`, label };
}

/** One row, or null for an annotation that YOLO does not hold. */
function rowOf({
  annotation,
  image,
  classIndex,
  usesMasks,
  simplify,
  losses,
}: {
  annotation: CocoAnnotation;
  image: CocoImage;
  classIndex: number;
  usesMasks: boolean;
  simplify: number;
  losses: LossList;
}): string | null {
  const { id } = annotation;
  if (annotation.iscrowd === 1) {
    losses.add("crowd_skipped", id, "crowd regions have no place in YOLO and are left out", false);
    return null;
  }
  if (hasUsableKeypoints(annotation)) losses.add("keypoints_dropped", id, "keypoints are not written", true);
  if (Object.keys(annotation).some((key) => !KNOWN.has(key))) {
    losses.add("attributes_dropped", id, "attributes of annotations have no place in YOLO", false);
  }
  const segmentation = usableSegmentation(annotation);
  const { width, height } = image;
  if (segmentation !== null && usesMasks) {
    const mask = segmentationToRle(segmentation, height, width, { annotationId: id });
    const ring = maskRing(segmentation, mask, simplify);
    if (ring !== null) return polygonRow(classIndex, ring, width, height);
    losses.add("empty_dropped", id, "annotations cover no pixel of their image and are left out", true);
    return null;
  }
  const bbox = usableBbox(annotation);
  const clipped = bbox === null ? null : clipBox(bbox, width, height);
  if (segmentation !== null) losses.add("mask_dropped", id, "masks are dropped, only boxes are written", true);
  if (bbox === null || clipped === null) {
    losses.add("empty_dropped", id, "annotations cover no pixel of their image and are left out", true);
    return null;
  }
  if (clipped.some((value, index) => Math.abs(value - bbox[index]!) > ROUNDING)) {
    losses.add("box_changed", id, "boxes reach beyond their image and are clipped", true);
  }
  if (!usesMasks) return boxRow(classIndex, clipped, width, height);
  losses.add("box_as_polygon", id, "boxes without a mask become rectangles as asked", false);
  const [x, y, w, h] = clipped;
  return polygonRow(classIndex, [x, y, x + w, y, x + w, y + h, x, y + h], width, height);
}

/** The part of a box inside the image; null where nothing is left. */
function clipBox(
  [x, y, w, h]: readonly number[],
  width: number,
  height: number,
): [number, number, number, number] | null {
  const [left, top] = [Math.max(0, x!), Math.max(0, y!)];
  const [right, bottom] = [Math.min(width, x! + w!), Math.min(height, y! + h!)];
  if (!(right > left && bottom > top)) return null;
  // An unclipped side keeps its stated length: x + w - x is not always w.
  const isWhole = left === x && right === x + w!;
  const isTall = top === y && bottom === y + h!;
  return [left, top, isWhole ? w! : right - left, isTall ? h! : bottom - top];
}

/** Reads the written text back and compares every mask. */
function audit({
  rows,
  text,
  label,
  image,
  numClasses,
  auditor,
}: {
  rows: readonly { annotation: CocoAnnotation }[];
  text: string;
  label: string;
  image: CocoImage;
  numClasses: number;
  auditor: MaskAuditor;
}): void {
  const issues = new ImportIssues();
  const { width, height } = image;
  const parsed = parseLabelRows({ text, file: label, width, height, numClasses, issues });
  // A row that this package cannot read back is a fault of the writer, not of the data.
  issues.throwIfAny("written YOLO");
  rows.forEach(({ annotation }, index) => {
    const segmentation = usableSegmentation(annotation);
    const row = parsed[index]!;
    if (segmentation === null || row.kind !== "polygon") return;
    auditor.compare({
      id: annotation.id,
      before: segmentationToRle(segmentation, height, width, { annotationId: annotation.id }),
      after: fromPolygons([row.ring], height, width),
      kind: !isPolygons(segmentation) ? "rle" : segmentation.length > 1 ? "parts" : "polygon",
    });
  });
}
