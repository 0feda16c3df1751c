/** Facts of a YAML or JSON document that are passed on as they are. */
export type Settings = { readonly [key: string]: unknown };

/** A model that a layer is meant to hold. */
export interface LayerModel {
  readonly name: string;
  readonly architecture: string;
  /** What it does, of the layer's tasks. */
  readonly tasks: readonly string[];
  /** Catalogue id: where its bytes, digests and licence come from. */
  readonly catalogue?: string | undefined;
  /** Another official source, `hf:owner/name`, `url:https://...`; neither = brought by `push` alone. */
  readonly source?: string | undefined;
  /** Shell patterns of wanted files of `source`. */
  readonly allow?: readonly string[] | undefined;
  /** Digest of its one file. */
  readonly sha256?: string | undefined;
  readonly licence?: string | undefined;
  /** Condition under which a pipeline should use it, in words. */
  readonly when?: string | undefined;
  readonly training_data?: string | undefined;
  readonly input_spec?: string | undefined;
  /** Over the settings of its architecture. */
  readonly settings?: Settings | undefined;
}

/** One stage of the restoration pipeline. */
export interface LayerConfig {
  /** `layer-1`, `layer-2`, ... */
  readonly layer: string;
  readonly purpose: string;
  readonly tasks: readonly string[];
  readonly models: readonly LayerModel[];
  /** Settings by architecture, such as block counts. */
  readonly architectures: Readonly<Record<string, Settings>>;
}

/** One file of a layer, with size in bytes and checksum. */
export interface LayerFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly md5: string;
}

/** A stored model of a layer, as kept in `layers/{layer}/{name}/versions/{version}.json`; never changed once written. */
export interface LayerRecord {
  readonly schema: 1;
  readonly layer: string;
  readonly name: string;
  /** From 1; another content under the same name is the next one. */
  readonly version: number;
  readonly architecture: string;
  readonly tasks: readonly string[];
  readonly files: readonly LayerFile[];
  readonly bytes: number;
  /** Of the file; of several, of the sorted lines that `sha256sum` prints. */
  readonly sha256: string;
  /** Of the only file, else null. */
  readonly md5: string | null;
  readonly source_url: string | null;
  readonly licence: string;
  readonly training_data: string | null;
  readonly metrics: Readonly<Record<string, number>>;
  readonly input_spec: string | null;
  readonly uploaded_by: string | null;
  readonly uploaded_at: string;
  readonly tool_version: string;
}

/** What is said of a model when it is stored; what is left out comes from the layer's configuration and the catalogue. */
export interface LayerMetadata {
  readonly name: string;
  readonly architecture?: string | undefined;
  readonly tasks?: readonly string[] | undefined;
  readonly licence?: string | undefined;
  readonly sourceUrl?: string | undefined;
  readonly trainingData?: string | undefined;
  readonly metrics?: Readonly<Record<string, number>> | undefined;
  readonly inputSpec?: string | undefined;
  /** What the (only) file must have. */
  readonly sha256?: string | undefined;
}

/** Bytes of one model on their way. */
export interface LayerProgress {
  readonly phase: "hashing" | "storing" | "done";
  readonly file: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** Answer of a push: stored, or the same content was there already. */
export interface PushReport {
  readonly skipped: boolean;
  readonly record: LayerRecord;
  readonly warnings: readonly string[];
}

/** Outcome of many models, each by itself. */
export interface TransferSummary {
  readonly ok: readonly LayerRecord[];
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  readonly failed: readonly { readonly name: string; readonly code: string; readonly message: string }[];
}

/** A model of a layer on this machine, verified. */
export interface ResolvedLayerModel {
  readonly layer: string;
  readonly name: string;
  readonly version: number;
  readonly architecture: string;
  readonly tasks: readonly string[];
  /** The file; of several, their folder. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly md5: string | null;
  readonly licence: string;
  readonly sourceUrl: string | null;
  readonly inputSpec: string | null;
  readonly when: string | null;
  /** Of its architecture and its own. */
  readonly settings: Settings;
  readonly warnings: readonly string[];
}
