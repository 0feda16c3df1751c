import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Affine } from "@seg/augment";
import {
  type Box,
  type ClassMapping,
  type CocoDataset,
  createClassMapping,
  type RgbImage,
  usableAnnotations,
} from "@seg/coco-dataset";
import { writeFileAtomic } from "@seg/nn";
import { decodeImage } from "@seg/preprocess";
import { annotationBox } from "./annotation-box.js";
import { BadImageError, CacheCorruptError, CacheKeyMismatchError } from "./errors.js";
import { decodeRecord, encodeRecord, packLogits, type TeacherRecord } from "./teacher-record.js";

/** A box-prompted mask teacher. Implemented by adapters around @seg/teachers; distill does not know which network answers. */
export interface MaskTeacher {
  /** Name for logs. */
  readonly id: string;
  /** Changes whenever weights, adapter or preprocessing change. */
  readonly hash: string;
  /** One mask per box, in order. Logits are `side * side`, row-major; `toModel` maps image pixels to logit-grid pixels. */
  predict(
    image: RgbImage,
    boxes: readonly Box[],
  ): Promise<{ logits: Float32Array[]; side: number; iou: number[]; toModel: Affine }>;
}

const FORMAT = "seg-teacher-cache-1";

interface CacheIndex {
  readonly format: string;
  readonly teacherId: string;
  readonly teacherHash: string;
}

/** SHA-256 of image bytes, teacher and prompts: the same question to the same teacher has the same key. */
function recordKey({
  bytes,
  teacher,
  prompts,
}: {
  bytes: Uint8Array;
  teacher: Pick<MaskTeacher, "id" | "hash">;
  prompts: readonly { annotationId: number; box: Box }[];
}): string {
  const settings = JSON.stringify([
    FORMAT,
    teacher.id,
    teacher.hash,
    prompts.map(({ annotationId, box }) => [annotationId, ...box]),
  ]);
  return createHash("sha256").update(createHash("sha256").update(bytes).digest()).update(settings).digest("hex");
}

function recordPath(dir: string, key: string): string {
  return join(dir, key.slice(0, 2), `${key}.kd`);
}

/** Records of a dataset by image id; records stay compressed in memory. */
export class TeacherCache {
  readonly dir: string;
  readonly teacherId: string;
  readonly teacherHash: string;
  readonly #records: ReadonlyMap<number, TeacherRecord>;

  constructor({
    dir,
    teacher,
    records,
  }: {
    dir: string;
    teacher: Pick<MaskTeacher, "id" | "hash">;
    records: ReadonlyMap<number, TeacherRecord>;
  }) {
    this.dir = dir;
    this.teacherId = teacher.id;
    this.teacherHash = teacher.hash;
    this.#records = records;
  }

  /** Number of images that have a record. */
  get size(): number {
    return this.#records.size;
  }

  /** SHA-256 over all record keys; what a checkpoint remembers. */
  get id(): string {
    const keys = [...this.#records.values()].map((record) => record.key).sort();
    return createHash("sha256").update(keys.join("\n")).digest("hex");
  }

  /** The record of an image, or null. */
  get(imageId: number): TeacherRecord | null {
    return this.#records.get(imageId) ?? null;
  }
}

/** Progress of {@link buildTeacherCache}. */
export interface CacheProgress {
  readonly done: number;
  readonly total: number;
  /** True when the record was there already. */
  readonly reused: boolean;
}

function checkIndex(dir: string, teacher: MaskTeacher): void {
  const path = join(dir, "index.json");
  const index: CacheIndex = { format: FORMAT, teacherId: teacher.id, teacherHash: teacher.hash };
  if (existsSync(path)) {
    const found = JSON.parse(readFileSync(path, "utf8")) as CacheIndex;
    if (found.format !== FORMAT || found.teacherId !== teacher.id || found.teacherHash !== teacher.hash) {
      const name = ({ teacherId, teacherHash }: CacheIndex) => `teacher "${teacherId}" (${teacherHash})`;
      throw new CacheKeyMismatchError({ dir, expected: name(index), actual: name(found) });
    }
    return;
  }
  writeFileAtomic(path, [Buffer.from(`${JSON.stringify(index, null, 2)}\n`)]);
}

/** A valid record under this key, or null; a damaged one counts as absent and is written again. */
function readValid(dir: string, key: string): TeacherRecord | null {
  const path = recordPath(dir, key);
  if (!existsSync(path)) return null;
  try {
    const record = decodeRecord(readFileSync(path), path);
    return record.key === key ? record : null;
  } catch (error) {
    if (error instanceof CacheCorruptError) return null;
    throw error;
  }
}

/**
 * Asks a mask teacher once per image, with the annotated boxes as prompts, and keeps its logits as int8 (clip +-8, step 1/16,
 * deflate). Records are content-addressed: an interrupted build goes on where it stopped, changed images, boxes or teachers are
 * asked again, damaged records are replaced.
 *
 * @param imagesDir - directory that `file_name` is relative to
 * @param mapping - classes to label @defaultValue all categories
 * @param onBadImage - `error` names the first unreadable file, `skip` leaves it without a record @defaultValue "error"
 * @throws BadImageError, CacheKeyMismatchError
 */
export async function buildTeacherCache({
  teacher,
  dataset,
  imagesDir,
  dir,
  mapping = createClassMapping(dataset),
  onBadImage = "error",
  onProgress,
  signal,
}: {
  teacher: MaskTeacher;
  dataset: CocoDataset;
  imagesDir: string;
  dir: string;
  mapping?: ClassMapping;
  onBadImage?: "error" | "skip";
  onProgress?: (progress: CacheProgress) => void;
  signal?: AbortSignal;
}): Promise<TeacherCache> {
  checkIndex(dir, teacher);
  const wanted = new Set(mapping.classes.map(({ categoryId }) => categoryId));
  const prompts = new Map<number, { annotationId: number; box: Box }[]>();
  const images = new Map(dataset.images.map((image) => [image.id, image]));
  for (const annotation of usableAnnotations(dataset)) {
    const image = images.get(annotation.image_id);
    if (!image || !wanted.has(annotation.category_id)) continue;
    const box = annotationBox(annotation, image);
    if (box === null) continue;
    const list = prompts.get(image.id);
    if (list) list.push({ annotationId: annotation.id, box });
    else prompts.set(image.id, [{ annotationId: annotation.id, box }]);
  }
  const records = new Map<number, TeacherRecord>();
  let done = 0;
  for (const [imageId, list] of prompts) {
    signal?.throwIfAborted();
    const { file_name, width, height } = images.get(imageId)!;
    const file = join(imagesDir, file_name);
    let bytes: Uint8Array;
    let image: RgbImage;
    try {
      bytes = await readFile(file);
      image = await decodeImage(bytes, { expectedSize: { width, height } });
    } catch (cause) {
      if (onBadImage === "skip") continue;
      throw new BadImageError({ file, reason: cause instanceof Error ? cause.message : String(cause), cause });
    }
    const key = recordKey({ bytes, teacher, prompts: list });
    const known = readValid(dir, key);
    const record = known ?? (await ask({ teacher, image, list, key }));
    if (!known) writeFileAtomic(recordPath(dir, key), [encodeRecord(record)]);
    records.set(imageId, record);
    done += 1;
    onProgress?.({ done, total: prompts.size, reused: known !== null });
  }
  return new TeacherCache({ dir, teacher, records });
}

async function ask({
  teacher,
  image,
  list,
  key,
}: {
  teacher: MaskTeacher;
  image: RgbImage;
  list: readonly { annotationId: number; box: Box }[];
  key: string;
}): Promise<TeacherRecord> {
  const { logits, side, iou, toModel } = await teacher.predict(
    image,
    list.map(({ box }) => box),
  );
  if (
    logits.length !== list.length ||
    iou.length !== list.length ||
    logits.some((grid) => grid.length !== side * side)
  ) {
    throw new RangeError(
      `Teacher "${teacher.id}" returned ${logits.length} masks of side ${side} for ${list.length} boxes.`,
    );
  }
  const masks = list.map(({ annotationId }, i) => ({
    annotationId,
    // Predicted IoUs of SAM may leave [0, 1] a little.
    iou: Math.max(0, Math.min(1, iou[i]!)),
    packed: packLogits(logits[i]!),
  }));
  return { key, width: image.width, height: image.height, side, toModel, masks };
}
