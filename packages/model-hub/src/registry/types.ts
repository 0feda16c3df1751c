/** Rates lie in [0, 1]; `null` is unknown; NaN and infinities are refused (`INVALID_METRIC`). Keys are those of the HTTP answers. */
export interface VersionMetrics {
  /** TP / (TP + FP + FN) at IoU 0.50 and the operating confidence. */
  readonly accuracy: number | null;
  readonly precision: number | null;
  readonly recall: number | null;
  /** 2PR / (P + R), 0 when P + R = 0. */
  readonly f1_score: number | null;
  /** Of the chosen epoch. */
  readonly loss: number | null;
  readonly map50: number | null;
  readonly map50_95: number | null;
  readonly mask_iou: number | null;
  /** Integer count. */
  readonly training_samples: number | null;
  /** Wall seconds of training, summed over resumes. */
  readonly training_time: number | null;
  readonly latency_ms?: number | null;
  readonly size_bytes?: number | null;
  /** Anything else a trainer measures. */
  readonly extra?: Readonly<Record<string, number | null>>;
}

/** `pending` has a fixed manifest whose blobs are not all verified yet; only `ready` can be activated. */
export type VersionState = "pending" | "ready" | "failed" | "deleted";

/** One file of a version: the key of its blob is its SHA-256. */
export interface VersionFile {
  /** Relative, `/` separated, inside the version's folder. */
  readonly path: string;
  readonly sha256: string;
  readonly md5: string;
  readonly bytes: number;
}

/** Which data a version was trained on. */
export interface DatasetReference {
  readonly id: string | null;
  readonly fingerprint: string | null;
  readonly split_hash: string | null;
}

/** What a version came from: version names, `model@version`, catalogue ids or digests. */
export interface VersionParents {
  readonly teacher: string | null;
  readonly adapter: string | null;
  readonly base: string | null;
}

/** JSON as stored: no `undefined`, no non-finite number. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
/** An object of JSON values. */
export type JsonObject = { readonly [key: string]: Json };

/** The immutable part of a version; its canonical JSON's SHA-256 is stored beside it and checked on every read. Also `metadata.json`. */
export interface VersionManifest {
  readonly schema: 1;
  readonly model: string;
  /** `vYYYYMMDD_HHMMSS`, UTC. */
  readonly version: string;
  readonly seq: number;
  readonly created_at: string;
  readonly created_by: string | null;
  readonly run_id: string | null;
  readonly files: readonly VersionFile[];
  readonly metrics: VersionMetrics;
  readonly metric_definition_id: string | null;
  readonly dataset: DatasetReference;
  readonly parents: VersionParents;
  readonly params: { readonly [key: string]: Json };
  readonly env: { readonly [key: string]: Json };
  readonly code_commit: string | null;
}

/** A row of `GET /model/versions`. */
export interface VersionSummary {
  readonly model: string;
  readonly version: string;
  readonly seq: number;
  readonly state: VersionState;
  readonly created_at: string;
  readonly is_active: boolean;
  readonly metrics: VersionMetrics;
  readonly training_samples: number | null;
  readonly training_time: number | null;
  /** Name of the dataset trained on. */
  readonly dataset: string | null;
  readonly description: string;
  readonly tags: readonly string[];
  readonly aliases: readonly string[];
  /** Sum over the files. */
  readonly size_bytes: number;
  /** Changes with every PATCH; `If-Match` carries it. */
  readonly row_version: number;
}

/** `GET /model/version/{version}`. */
export interface VersionDetail extends VersionSummary {
  readonly manifest: VersionManifest;
  readonly manifest_sha256: string;
  readonly files: readonly VersionFile[];
  readonly deleted_at: string | null;
  /** Why a version is `failed`. */
  readonly failure: string | null;
}

/** Versions, newest first, with their number. */
export interface VersionPage {
  /** Newest first. */
  readonly versions: readonly VersionSummary[];
  readonly total: number;
  readonly next_cursor: string | null;
}

/** `GET /model/active` and the answers of activate and rollback. */
export interface ActiveVersion extends VersionDetail {
  readonly activated_at: string;
  readonly activated_by: string | null;
  /** False when the version was active already and nothing was written. */
  readonly changed: boolean;
}

/** What changes the active version. */
export type ActivationKind = "activate" | "rollback" | "deactivate";

/** A row of the append-only audit trail, `GET /model/history`. */
export interface ActivationRecord {
  readonly seq: number;
  readonly model: string;
  readonly version: string | null;
  readonly previous: string | null;
  readonly actor: string | null;
  readonly at: string;
  readonly reason: string | null;
  readonly kind: ActivationKind;
  readonly policy_decision: PolicyDecision | null;
}

/** Changes of the active version, newest first. */
export interface HistoryPage {
  /** Newest first. */
  readonly history: readonly ActivationRecord[];
  readonly total: number;
  readonly next_cursor: string | null;
}

/** `better` is `unknown` where either side is. */
export interface MetricComparison {
  readonly a: number | null;
  readonly b: number | null;
  /** b - a */
  readonly delta: number | null;
  readonly better: "a" | "b" | "tie" | "unknown";
}

/** `GET /model/compare?a=&b=`; lower is better for loss, training_time, latency_ms and size_bytes, a tie is within 1e-9. */
export interface VersionComparison {
  readonly model: string;
  readonly a: string;
  readonly b: string;
  readonly metrics: Readonly<Record<string, MetricComparison>>;
  /** False when the metric definitions or the split hashes differ. */
  readonly comparable: boolean;
  readonly reasons: readonly string[];
  /** The metric that decides `overall`: the policy's, else `map50_95`, `f1_score`, `accuracy`, the first known on both sides. */
  readonly primary: string;
  readonly overall: "a" | "b" | "tie" | "unknown";
}

/** When a candidate counts as better than the active version. */
export interface ActivationPolicy {
  /** @defaultValue the first known of map50_95, f1_score, accuracy */
  readonly primary?: string;
  /** The candidate must be better by more than this. @defaultValue 0 */
  readonly minDelta?: number;
  readonly maxLatencyMs?: number;
  readonly maxBytes?: number;
  /** Largest loss of any other rate. */
  readonly maxDrop?: number;
  /** Activate by itself when the policy suggests it. @defaultValue false */
  readonly autoActivate?: boolean;
}

/** What the policy said of a candidate, stored with the activation it led to. */
export interface PolicyDecision {
  readonly suggest_activation: boolean;
  readonly primary: string;
  readonly delta: number | null;
  /** One sentence per condition that decided. */
  readonly reasons: readonly string[];
  /** The version compared with; null when none was active. */
  readonly against: string | null;
}

/** A file of a new version: bytes on disk, bytes in memory, or a digest whose blob is (or will be) in the store. */
export type RegisterFile =
  | { readonly path: string; readonly source: string }
  | { readonly path: string; readonly content: Uint8Array }
  | VersionFile;

/** A version as it is registered: files, metrics, origin. */
export interface RegisterInput {
  /** @defaultValue "default" */
  readonly model?: string;
  readonly files?: readonly RegisterFile[];
  readonly metrics?: Partial<VersionMetrics>;
  readonly metric_definition_id?: string | null;
  readonly dataset?: Partial<DatasetReference>;
  readonly parents?: Partial<VersionParents>;
  readonly params?: { readonly [key: string]: Json };
  readonly env?: { readonly [key: string]: Json };
  readonly code_commit?: string | null;
  /** Unique per model: the same run registers once. */
  readonly run_id?: string | null;
  readonly created_by?: string | null;
  readonly description?: string;
  readonly tags?: readonly string[];
  readonly aliases?: readonly string[];
}

/** Which model of the registry is meant. */
export interface ModelOption {
  /** @defaultValue "default" */
  readonly model?: string;
}

/** Which model is meant, who acts and why: both go to the audit trail. */
export interface ActOptions extends ModelOption {
  readonly actor?: string | null;
  readonly reason?: string | null;
}

/** Which page of a list. */
export interface ListOptions extends ModelOption {
  /** 1-1000. @defaultValue 50 */
  readonly limit?: number;
  readonly cursor?: string | null;
  /** @defaultValue everything but `deleted` */
  readonly states?: readonly VersionState[];
  readonly tag?: string;
}

/** The only fields of a version that may change. */
export interface VersionPatch {
  readonly description?: string;
  readonly tags?: readonly string[];
  /** Unique per model. */
  readonly aliases?: readonly string[];
}

/** What a repair wrote and removed. */
export interface RepairReport {
  /** Folders of `versions/` written, rewritten or removed, and links renewed. */
  readonly written: readonly string[];
  readonly removed: readonly string[];
  /** `pending` versions that became `ready`. */
  readonly completed: readonly string[];
  /** Versions whose manifest or blobs are damaged: `{version, problem}`. */
  readonly damaged: readonly { readonly model: string; readonly version: string; readonly problem: string }[];
}

/** Immutable versions of models, one active pointer each; safe under many processes. Errors are `HubError`s with the codes of the HTTP API. */
export interface ModelRegistryPort {
  /** @throws HubError INVALID_METRIC, INVALID_REQUEST, CONFLICT (run id or alias taken), IDEMPOTENCY_MISMATCH, INTEGRITY */
  register(input: RegisterInput, options?: { idempotencyKey?: string; signal?: AbortSignal }): Promise<VersionDetail>;
  /** Verifies the blobs of a `pending` version; `ready` afterwards. @throws HubError INTEGRITY, INVALID_STATE, NOT_FOUND */
  complete(version: string, options?: ActOptions): Promise<VersionDetail>;
  /** Marks a `pending` version `failed`. */
  fail(version: string, options: ActOptions & { failure: string }): Promise<VersionDetail>;
  list(options?: ListOptions): Promise<VersionPage>;
  /** Also by alias. @throws HubError NOT_FOUND, INTEGRITY (the manifest was tampered with) */
  get(version: string, options?: ModelOption): Promise<VersionDetail>;
  models(): Promise<readonly { readonly model: string; readonly versions: number; readonly active: string | null }[]>;
  /** @throws HubError STALE when `ifMatch` is not the row version, CONFLICT when an alias is taken */
  update(version: string, patch: VersionPatch, options: ActOptions & { ifMatch: number }): Promise<VersionDetail>;
  compare(a: string, b: string, options?: ModelOption & { primary?: string }): Promise<VersionComparison>;
  activate(version: string, options?: ActOptions & { policyDecision?: PolicyDecision }): Promise<ActiveVersion>;
  /** @throws HubError NO_ACTIVE_VERSION */
  deactivate(options?: ActOptions): Promise<ActivationRecord>;
  /** `null` when none is active. */
  active(options?: ModelOption): Promise<ActiveVersion | null>;
  /** @throws HubError NO_PREVIOUS_VERSION */
  rollback(options?: ActOptions & { to?: string }): Promise<ActiveVersion>;
  /** Soft; blobs are collected later. @throws HubError VERSION_ACTIVE, CONFLICT (aliased or parent, without `force`), NOT_FOUND */
  delete(version: string, options?: ActOptions & { force?: boolean }): Promise<void>;
  history(options?: ModelOption & { limit?: number; cursor?: string | null }): Promise<HistoryPage>;
  /** What `policy` says of `version` against the active one. */
  suggest(version: string, policy?: ActivationPolicy, options?: ModelOption): Promise<PolicyDecision>;
  /** Rebuilds `versions/`, `active_model.json` and `active/` from the database. */
  repair(options?: { signal?: AbortSignal }): Promise<RepairReport>;
}

/** Told to subscribers and webhooks after the transaction that caused it has been committed. */
export interface HubEvent {
  readonly id: string;
  readonly type:
    | "version.registered"
    | "version.activated"
    | "version.deactivated"
    | "version.deleted"
    | `job.${"queued" | "running" | "succeeded" | "failed" | "cancelling" | "cancelled" | "interrupted"}`;
  readonly at: string;
  readonly data: { readonly [key: string]: Json };
}

/** What an installation agreed to, `licence_ledger`. */
export interface LicenceEntry {
  readonly seq: number;
  /** Canonical model id. */
  readonly id: string;
  readonly sha256: string;
  readonly licence: string;
  readonly accepted_by: string | null;
  readonly at: string;
}

/** Append-only. */
export interface LicenceLedgerPort {
  append(entry: Omit<LicenceEntry, "seq" | "at">): Promise<LicenceEntry>;
  list(options?: { id?: string; limit?: number }): Promise<readonly LicenceEntry[]>;
}
