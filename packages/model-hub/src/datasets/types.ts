import type { Json } from "../registry/types.js";

/** Formats that an upload may have. */
export type DatasetFormat = "coco-json" | "coco-zip" | "csv";

/** A row of `GET /model/datasets`. */
export interface DatasetRecord {
  readonly name: string;
  readonly format: DatasetFormat;
  /** Name of the CSV's or trainer's schema: `segmentation`, or one a trainer declares. */
  readonly schema: string;
  readonly sha256: string;
  readonly bytes: number;
  /** Annotated images, or rows of a table of another schema. */
  readonly records: number;
  readonly images: number;
  readonly annotations: number;
  readonly classes: readonly { readonly name: string; readonly count: number }[];
  readonly created_at: string;
  readonly created_by: string | null;
  readonly warnings: readonly string[];
}

/** Answer of `POST /model/upload-dataset`. */
export interface UploadReport {
  readonly dataset_name: string;
  readonly sha256: string;
  readonly records: number;
  readonly warnings: readonly string[];
  /** The same name and bytes were there already: 200 instead of 201. */
  readonly existing: boolean;
  /** False for `validate_only`. */
  readonly stored: boolean;
  readonly dataset: DatasetRecord;
}

/** One bad line of a CSV, counted from 1 with the header, or a place in a document. */
export interface DatasetIssue {
  readonly line?: number;
  readonly column?: string;
  readonly path?: string;
  readonly message: string;
}

/** A column of a CSV schema. */
export interface CsvColumn {
  readonly name: string;
  readonly type: "string" | "int" | "float";
  readonly required: boolean;
  /** Accepted texts, each with what it means. */
  readonly values?: Readonly<Record<string, string>>;
  readonly min?: number;
  readonly max?: number;
}

/** What a trainer reads; `segmentation` is built in. Also served to the dashboard's check before upload. */
export interface CsvSchema {
  readonly id: string;
  readonly description: string;
  readonly columns: readonly CsvColumn[];
}

/** Limits on untrusted archives. */
export interface ArchiveLimits {
  /** @defaultValue 200_000 */
  readonly maxEntries: number;
  /** @defaultValue 20 GiB */
  readonly maxBytes: number;
  /** Expanded : compressed. @defaultValue 100 */
  readonly maxRatio: number;
}

/** An upload as it arrives. */
export interface DatasetUpload {
  /** Bytes as they come; counted, hashed and written to a temporary file. */
  readonly stream: AsyncIterable<Uint8Array>;
  /** Its extension names the format; the content must agree. */
  readonly file_name: string;
  /** @defaultValue the file name without its extension */
  readonly name?: string;
  /** CSV schema id. @defaultValue "segmentation" */
  readonly schema?: string;
  readonly validate_only?: boolean;
  readonly created_by?: string | null;
  readonly signal?: AbortSignal;
  /** @defaultValue 2 GiB */
  readonly maxBytes?: number;
}

/** Counts for `use_database` before retraining. */
export interface AvailableData {
  readonly datasets: readonly DatasetRecord[];
  /** Rows of every stored dataset of one schema together. */
  readonly total_records: number;
  readonly min_records: number;
}

/** A dataset ready to read. */
export interface OpenDataset {
  readonly record: DatasetRecord;
  readonly directory: string;
  /** COCO document inside `directory`; null for a table of another schema. */
  readonly annotations: string | null;
  /** Image root inside `directory`; null where the upload had no images. */
  readonly images: string | null;
  readonly table: string | null;
}

/** Keeps uploaded data sets and opens them for training. */
export interface DatasetStorePort {
  /** @throws HubError INVALID_REQUEST, SCHEMA, CONFLICT, TOO_LARGE, UNSUPPORTED_TYPE; nothing is stored then */
  upload(upload: DatasetUpload): Promise<UploadReport>;
  list(): Promise<AvailableData>;
  /** @throws HubError NOT_FOUND */
  get(name: string): Promise<DatasetRecord>;
  /** @throws HubError NOT_FOUND, INTEGRITY */
  open(name: string): Promise<OpenDataset>;
  delete(name: string): Promise<void>;
  schemas(): readonly CsvSchema[];
}

/** Extra facts of a dataset, by its name. */
export type DatasetFacts = { readonly [key: string]: Json };
