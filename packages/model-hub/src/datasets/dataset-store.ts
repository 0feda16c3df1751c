import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { access, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, extname, join, posix } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { HubError } from "../errors.js";
import { integer, type SqlDriver, type SqlRow, text, textOrNull } from "../sql/driver.js";
import { readCoco } from "./read-coco.js";
import { readCsv } from "./read-csv.js";
import { segmentationSchema } from "./segmentation-schema.js";
import type {
  ArchiveLimits,
  AvailableData,
  CsvSchema,
  DatasetFormat,
  DatasetRecord,
  DatasetStorePort,
  DatasetUpload,
  OpenDataset,
  UploadReport,
} from "./types.js";
import { DEFAULT_ARCHIVE_LIMITS, unpackZip } from "./unpack-zip.js";

const MAX_UPLOAD_BYTES = 2 * 1024 ** 3;
const NAME = /^[A-Za-z0-9._-]{1,128}$/;
/** What retraining needs at least. */
export const MIN_RECORDS = 10;

const FORMATS: Readonly<Record<string, DatasetFormat>> = { ".json": "coco-json", ".zip": "coco-zip", ".csv": "csv" };
const FILE_OF: Readonly<Record<DatasetFormat, string>> = {
  "coco-json": "annotations.json",
  "coco-zip": "dataset.zip",
  csv: "table.csv",
};

/** Content of an upload after its check. */
type Checked = Pick<DatasetRecord, "records" | "images" | "annotations" | "classes" | "warnings">;

/**
 * Uploaded datasets: `<root>/<name>/` with the upload as it came and, for archives, its files in `files/`. An upload is received, hashed and
 * checked beside its place and moved there whole; a refused one leaves nothing.
 */
export class DatasetStore implements DatasetStorePort {
  readonly #sql: SqlDriver;
  readonly #root: string;
  readonly #now: () => number;
  readonly #schemas: ReadonlyMap<string, CsvSchema>;
  readonly #limits: ArchiveLimits;

  /** @param schemas - of trainers that read other tables than {@link segmentationSchema} */
  constructor({
    sql,
    root,
    now = Date.now,
    schemas = [],
    archiveLimits = DEFAULT_ARCHIVE_LIMITS,
  }: {
    sql: SqlDriver;
    root: string;
    now?: () => number;
    schemas?: readonly CsvSchema[];
    archiveLimits?: ArchiveLimits;
  }) {
    this.#sql = sql;
    this.#root = root;
    this.#now = now;
    this.#schemas = new Map([segmentationSchema, ...schemas].map((schema) => [schema.id, schema]));
    this.#limits = archiveLimits;
  }

  schemas(): readonly CsvSchema[] {
    return [...this.#schemas.values()];
  }

  async upload(upload: DatasetUpload): Promise<UploadReport> {
    const { format, name, schema } = this.#parse(upload);
    const staging = join(this.#root, `.upload-${randomBytes(8).toString("hex")}`);
    try {
      await mkdir(staging, { recursive: true });
      const path = join(staging, FILE_OF[format]);
      const received = await receive(upload, path);
      const existing = await this.#find(name);
      if (existing !== null) return sameOrConflict(existing, received.sha256, upload.validate_only === true);
      await checkMagic(path, format);
      const checked = await this.#check(path, format, schema, staging, upload.signal);
      const record: DatasetRecord = {
        name,
        format,
        schema: format === "csv" ? schema.id : "coco",
        sha256: received.sha256,
        bytes: received.bytes,
        ...checked,
        created_at: new Date(this.#now()).toISOString(),
        created_by: upload.created_by ?? null,
      };
      upload.signal?.throwIfAborted();
      if (upload.validate_only === true) return report(record, { existing: false, stored: false });
      return await this.#publish(record, staging);
    } catch (error) {
      throw diskFull(error) ?? error;
    } finally {
      // After the move there is nothing left to remove.
      await rm(staging, { recursive: true, force: true });
    }
  }

  #parse({ file_name, name, schema = segmentationSchema.id }: DatasetUpload) {
    const extension = extname(file_name).toLowerCase();
    const format = FORMATS[extension];
    if (format === undefined) {
      throw new HubError({
        code: "UNSUPPORTED_TYPE",
        message: `${JSON.stringify(file_name.slice(0, 200))} is no .json (COCO), .zip (images and COCO) or .csv file.`,
        details: { file_name: file_name.slice(0, 200) },
      });
    }
    const chosen = name ?? posix.basename(file_name.replaceAll("\\", "/"), extname(file_name));
    if (!NAME.test(chosen) || chosen.startsWith(".")) {
      throw new HubError({
        code: "INVALID_REQUEST",
        message: `${JSON.stringify(chosen.slice(0, 200))} is no dataset name: 1-128 letters, digits, dots, dashes or underscores, no dot first.`,
        details: { errors: [{ path: "name", message: "not a dataset name" }] },
      });
    }
    const found = this.#schemas.get(schema);
    if (found === undefined) {
      throw new HubError({
        code: "INVALID_REQUEST",
        message: `There is no table schema ${JSON.stringify(schema)}. Known: ${[...this.#schemas.keys()].join(", ")}.`,
        details: { errors: [{ path: "schema", message: "unknown" }] },
      });
    }
    return { format, name: chosen, schema: found };
  }

  async #check(
    path: string,
    format: DatasetFormat,
    schema: CsvSchema,
    staging: string,
    signal?: AbortSignal,
  ): Promise<Checked> {
    if (format === "csv") {
      const { rows, images, classes, warnings } = await readCsv(path, schema, signal);
      return { records: images > 0 ? images : rows, images, annotations: rows, classes: counts(classes), warnings };
    }
    let annotations = path;
    let imagesDirectory: string | undefined;
    if (format === "coco-zip") {
      const directory = join(staging, "files");
      await mkdir(directory);
      const files = await unpackZip({ path, directory, limits: this.#limits, signal });
      const place = placeOf(files);
      annotations = join(directory, place.annotations);
      imagesDirectory = join(directory, place.images);
    }
    const content = await readCoco(annotations, {
      ...(imagesDirectory === undefined ? {} : { imagesDirectory }),
      signal,
    });
    return {
      records: content.annotatedImages,
      images: content.images,
      annotations: content.annotations,
      classes: counts(content.classes),
      warnings: content.warnings,
    };
  }

  /** Row and folder appear together: the folder is moved inside the transaction, and one without a row is a crash's leftover. */
  async #publish(record: DatasetRecord, staging: string): Promise<UploadReport> {
    const target = join(this.#root, record.name);
    return this.#sql.write(async (tx) => {
      if (tx.dialect === "postgres")
        await tx.all("SELECT pg_advisory_xact_lock(hashtext(?))", [`dataset:${record.name}`]);
      const [row] = await tx.all("SELECT * FROM dataset WHERE name = ?", [record.name]);
      if (row !== undefined) return sameOrConflict(toRecord(row), record.sha256, false);
      const isStaged = await access(staging).then(
        () => true,
        () => false,
      );
      if (isStaged) {
        await rm(target, { recursive: true, force: true });
        await rename(staging, target);
      }
      await tx.run(
        `INSERT INTO dataset (name, format, csv_schema, sha256, bytes, records, images, annotations, classes, warnings, created_at, created_by)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        [
          record.name,
          record.format,
          record.schema,
          record.sha256,
          record.bytes,
          record.records,
          record.images,
          record.annotations,
          JSON.stringify(record.classes),
          JSON.stringify(record.warnings),
          record.created_at,
          record.created_by,
        ],
      );
      return report(record, { existing: false, stored: true });
    });
  }

  async list(): Promise<AvailableData> {
    const datasets = (await this.#sql.all("SELECT * FROM dataset ORDER BY created_at DESC, name")).map(toRecord);
    return {
      datasets,
      total_records: datasets.reduce((sum, { records }) => sum + records, 0),
      min_records: MIN_RECORDS,
    };
  }

  async get(name: string): Promise<DatasetRecord> {
    const record = await this.#find(name);
    if (record !== null) return record;
    throw new HubError({
      code: "NOT_FOUND",
      message: `There is no dataset ${JSON.stringify(name)}.`,
      details: { name },
    });
  }

  async open(name: string): Promise<OpenDataset> {
    const record = await this.get(name);
    const directory = join(this.#root, record.name);
    const upload = join(directory, FILE_OF[record.format]);
    const found = await sha256OfFile(upload);
    if (found !== record.sha256) {
      throw new HubError({
        code: "INTEGRITY",
        message: `Dataset ${name} ${found === null ? "is missing from" : "was changed in"} ${directory}. Delete it and upload it again.`,
        details: { name, expected: record.sha256, found },
      });
    }
    const shared = { record, directory, annotations: null, images: null, table: null };
    if (record.format === "csv") return { ...shared, table: upload };
    if (record.format === "coco-json") return { ...shared, annotations: upload };
    const { readdir } = await import("node:fs/promises");
    const root = join(directory, "files");
    const entries = await readdir(root, { recursive: true, withFileTypes: true });
    const place = placeOf(
      entries
        .filter((entry) => entry.isFile())
        .map((entry) =>
          join(entry.parentPath, entry.name)
            .slice(root.length + 1)
            .replaceAll("\\", "/"),
        ),
    );
    return { ...shared, annotations: join(root, place.annotations), images: join(root, place.images) };
  }

  async delete(name: string): Promise<void> {
    const record = await this.get(name);
    await this.#sql.write((tx) => tx.run("DELETE FROM dataset WHERE name = ?", [record.name]));
    await rm(join(this.#root, record.name), { recursive: true, force: true });
  }

  async #find(name: string): Promise<DatasetRecord | null> {
    const [row] = await this.#sql.all("SELECT * FROM dataset WHERE name = ?", [name]);
    return row === undefined ? null : toRecord(row);
  }
}

/** Writes the stream to `path`, counting and hashing. @throws {@link HubError} TOO_LARGE */
async function receive(
  { stream, maxBytes = MAX_UPLOAD_BYTES, signal }: DatasetUpload,
  path: string,
): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash("sha256");
  let bytes = 0;
  const counter = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      bytes += chunk.length;
      if (bytes > maxBytes) {
        done(
          new HubError({
            code: "TOO_LARGE",
            message: `The upload exceeds ${maxBytes} bytes. Nothing was stored.`,
            details: { limit: maxBytes },
          }),
        );
        return;
      }
      hash.update(chunk);
      done(null, chunk);
    },
  });
  await pipeline(stream, counter, createWriteStream(path, { flags: "wx", flush: true }), { signal });
  return { sha256: hash.digest("hex"), bytes };
}

/** The first bytes must be those of the format that the name promises. */
async function checkMagic(path: string, format: DatasetFormat): Promise<void> {
  const file = await open(path);
  const head = Buffer.alloc(4096);
  const { bytesRead } = await file.read(head, 0, head.length, 0);
  await file.close();
  const start = head.subarray(0, bytesRead);
  const isZip = start.length >= 4 && start[0] === 0x50 && start[1] === 0x4b && (start[2] === 3 || start[2] === 5);
  const isText = !start.includes(0);
  const looksLikeJson = /^(\uFEFF)?\s*[{[]/.test(start.toString("utf8"));
  const fits = format === "coco-zip" ? isZip : format === "coco-json" ? isText && looksLikeJson : isText && !isZip;
  if (fits) return;
  throw new HubError({
    code: "UNSUPPORTED_TYPE",
    message: `The file's content is not what its name says (${format}). Nothing was stored.`,
    details: { format },
  });
}

/**
 * Where an archive keeps its COCO document and what image names are relative to: the one `.json` file, or the one whose name begins with
 * `annotations` or `_annotations`; images beside it, or in `images/` beside it or at the top.
 * @throws {@link HubError} SCHEMA when it cannot be told
 */
function placeOf(files: readonly string[]): { annotations: string; images: string } {
  const documents = files.filter((file) => /\.json$/i.test(file) && !file.startsWith("__MACOSX/"));
  const named = documents.filter((file) => /^_?annotations/i.test(posix.basename(file)));
  const chosen = documents.length === 1 ? documents : named;
  if (chosen.length !== 1) {
    throw new HubError({
      code: "SCHEMA",
      message:
        documents.length === 0
          ? "The archive has no COCO document (.json). Nothing was stored."
          : `The archive has ${documents.length} .json files and not exactly one is named annotations*.json: ${documents.slice(0, 5).join(", ")}. Nothing was stored.`,
      details: { documents: documents.slice(0, 20) },
    });
  }
  const annotations = chosen[0]!;
  const beside = dirname(annotations) === "." ? "" : `${posix.dirname(annotations)}/`;
  const folder = [`${beside}images/`, "images/"].find((prefix) => files.some((file) => file.startsWith(prefix)));
  return { annotations, images: folder ?? beside };
}

async function sha256OfFile(path: string): Promise<string | null> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  return hash.digest("hex");
}

function sameOrConflict(existing: DatasetRecord, sha256: string, validateOnly: boolean): UploadReport {
  if (existing.sha256 === sha256) return report(existing, { existing: true, stored: !validateOnly });
  throw new HubError({
    code: "CONFLICT",
    message: `Dataset ${existing.name} exists with other content. Give the upload another name. Nothing was stored.`,
    details: { name: existing.name, sha256: existing.sha256 },
  });
}

const report = (record: DatasetRecord, { existing, stored }: { existing: boolean; stored: boolean }): UploadReport => ({
  dataset_name: record.name,
  sha256: record.sha256,
  records: record.records,
  warnings: [
    ...record.warnings,
    ...(record.records < MIN_RECORDS ? [`${record.records} records; retraining needs at least ${MIN_RECORDS}`] : []),
  ],
  existing,
  stored,
  dataset: record,
});

function diskFull(error: unknown): HubError | null {
  if ((error as NodeJS.ErrnoException).code !== "ENOSPC") return null;
  return new HubError({ code: "NO_SPACE", message: "The disk is full. Nothing was stored.", cause: error });
}

const counts = (classes: ReadonlyMap<string, number>) =>
  [...classes]
    .map(([name, count]) => ({ name, count }))
    .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));

const toRecord = (row: SqlRow): DatasetRecord => ({
  name: text(row, "name"),
  format: text(row, "format") as DatasetFormat,
  schema: text(row, "csv_schema"),
  sha256: text(row, "sha256"),
  bytes: integer(row, "bytes"),
  records: integer(row, "records"),
  images: integer(row, "images"),
  annotations: integer(row, "annotations"),
  classes: JSON.parse(text(row, "classes")) as DatasetRecord["classes"],
  warnings: JSON.parse(text(row, "warnings")) as string[],
  created_at: text(row, "created_at"),
  created_by: textOrNull(row, "created_by"),
});
