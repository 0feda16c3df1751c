import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { RgbImage } from "@seg/coco-dataset";
import { decodeImage } from "@seg/preprocess";
import { BadImageError } from "../errors.js";
import { ShardStore } from "./shard-store.js";
import { decodeRecord, encodeRecord, type TeacherRecord } from "./teacher-record.js";
import type { TeacherIdentity } from "./teachers.js";

/** Part of every key: a change of what records mean makes new ones. */
const FORMAT = "seg-teacher-record-2";

/** Encoded bytes of the records that stay decoded: a mosaic asks for the same image several times in a row. Masks: some thousand; feature maps: a few. */
const RECENT_BYTES = 32 * 2 ** 20;

/** An image to ask about. */
export interface CachedImage {
  readonly id: number;
  /** Path. */
  readonly file: string;
  readonly width: number;
  readonly height: number;
}

/** Progress of {@link TeacherCache.answer}. */
export interface CacheProgress {
  readonly done: number;
  readonly total: number;
  /** True when the record was there already. */
  readonly reused: boolean;
}

/** One kind of question for many images. */
export interface Question<T extends TeacherRecord> {
  readonly kind: T["kind"];
  readonly teacher: TeacherIdentity;
  readonly images: readonly CachedImage[];
  /** What beside image and teacher decides the answer (class names, boxes, thresholds), as JSON; null: nothing to ask about this image. */
  settings(image: CachedImage): unknown;
  ask(pixels: RgbImage, image: CachedImage): Promise<T>;
}

/**
 * Answers of teachers by content: SHA-256 of image bytes, teacher and question is the key, so each question is put to a teacher once. Records lie in a
 * {@link ShardStore} and are read when they are needed: memory does not grow with the number of images.
 */
export class TeacherCache {
  readonly #store: ShardStore;
  readonly #recent = new Map<string, { readonly record: TeacherRecord; readonly bytes: number }>();
  #recentBytes = 0;

  /**
   * @param teachers - the parts that answer; a folder takes answers of one teacher of each kind
   * @throws CacheKeyMismatchError when the folder holds answers of another teacher
   */
  constructor({
    dir,
    teachers,
  }: {
    dir: string;
    teachers: Readonly<Partial<Record<TeacherRecord["kind"], TeacherIdentity>>>;
  }) {
    this.#store = new ShardStore({
      dir,
      owners: Object.fromEntries(
        Object.entries(teachers).flatMap(([kind, teacher]) =>
          teacher ? [[kind, `${teacher.id} (${teacher.hash})`]] : [],
        ),
      ),
    });
  }

  get dir(): string {
    return this.#store.dir;
  }

  /** Number of records. */
  get size(): number {
    return this.#store.size;
  }

  /**
   * Asks about every image that has no valid record yet: an interrupted call goes on where it stopped, changed images, questions or teachers are asked again, damaged
   * records are replaced.
   *
   * @param onBadImage - `error` names the first unreadable file, `skip` leaves it without a record. @defaultValue "error"
   * @returns the key of every answered image, by image id
   * @throws BadImageError, and what the teacher throws
   */
  async answer<T extends TeacherRecord>(
    { kind, teacher, images, settings, ask }: Question<T>,
    {
      onBadImage = "error",
      onProgress,
      signal,
    }: { onBadImage?: "error" | "skip"; onProgress?: (progress: CacheProgress) => void; signal?: AbortSignal } = {},
  ): Promise<Map<number, string>> {
    const keys = new Map<number, string>();
    let done = 0;
    try {
      for (const image of images) {
        signal?.throwIfAborted();
        const question = settings(image);
        if (question !== null) {
          const { file, width, height } = image;
          let bytes: Uint8Array;
          let pixels: RgbImage | null = null;
          let key: string;
          let reused: boolean;
          try {
            bytes = await readFile(file);
            key = createHash("sha256")
              .update(createHash("sha256").update(bytes).digest())
              .update(JSON.stringify([FORMAT, kind, teacher.id, teacher.hash, question]))
              .digest("hex");
            reused = this.#store.isValid(key);
            if (!reused) pixels = await decodeImage(bytes, { expectedSize: { width, height } });
          } catch (cause) {
            if (onBadImage === "skip") continue;
            throw new BadImageError({ file, reason: cause instanceof Error ? cause.message : String(cause), cause });
          }
          if (pixels !== null) this.#store.write(key, encodeRecord(await ask(pixels, image)));
          keys.set(image.id, key);
          onProgress?.({ done: done + 1, total: images.length, reused });
        }
        done += 1;
      }
    } finally {
      this.#store.flush();
    }
    return keys;
  }

  /**
   * The record under a key.
   * @throws CacheCorruptError; RangeError for a key that {@link TeacherCache.answer} did not return
   */
  read(key: string): TeacherRecord {
    const known = this.#recent.get(key);
    if (known !== undefined) return known.record;
    const content = this.#store.read(key);
    if (content === null) throw new RangeError(`The teacher cache ${this.dir} has no record ${key}.`);
    const record = decodeRecord(content);
    const bytes = content.length;
    this.#recent.set(key, { record, bytes });
    this.#recentBytes += bytes;
    // The oldest go first; the newest stays, however large it is.
    for (const [old, entry] of this.#recent) {
      if (this.#recentBytes <= RECENT_BYTES || old === key) break;
      this.#recent.delete(old);
      this.#recentBytes -= entry.bytes;
    }
    return record;
  }

  close(): void {
    this.#recent.clear();
    this.#recentBytes = 0;
    this.#store.close();
  }
}
