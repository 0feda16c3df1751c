import type { DecodeOptions, DecodeWarning } from "./decode-image.js";
import { PreprocessError, type PreprocessErrorCode } from "./errors.js";
import type { ModelKey } from "./models.js";
import type { Prepared } from "./prepare-models.js";

/** One picture to prepare. */
export interface Job {
  readonly source: string | Uint8Array;
  readonly decode: DecodeOptions;
}

/** A job on its way to a thread, with buffers to use. */
export interface JobMessage {
  readonly job: Job;
  readonly spare: readonly ArrayBuffer[];
}

/** What became of a job: an entry for every model, in the requested order. */
export interface JobResult {
  readonly entries: readonly (readonly [ModelKey, Prepared | PreprocessError])[];
  readonly warnings: readonly DecodeWarning[];
}

/** A PreprocessError as plain data; classes do not survive the way between threads. */
export interface PlainError {
  readonly code: PreprocessErrorCode;
  readonly message: string;
  readonly source: string | null;
  readonly model: string | null;
  readonly cause: string | null;
}

/** {@link JobResult} as plain data. */
export interface PlainResult {
  readonly entries: readonly (readonly [ModelKey, { ok: Prepared } | { error: PlainError }])[];
  readonly warnings: readonly DecodeWarning[];
}

export function toPlainError({ code, message, source, model, cause }: PreprocessError): PlainError {
  const reason = cause === undefined ? null : cause instanceof Error ? cause.message : String(cause);
  return { code, message, source, model, cause: reason };
}

export function fromPlainError({ cause, ...fields }: PlainError): PreprocessError {
  return new PreprocessError({ ...fields, ...(cause === null ? {} : { cause: new Error(cause) }) });
}

export function toPlainResult({ entries, warnings }: JobResult): PlainResult {
  return {
    warnings,
    entries: entries.map(([model, entry]) => [
      model,
      PreprocessError.isInstance(entry) ? { error: toPlainError(entry) } : { ok: entry },
    ]),
  };
}

export function fromPlainResult({ entries, warnings }: PlainResult): JobResult {
  return {
    warnings,
    entries: entries.map(([model, entry]) => [model, "ok" in entry ? entry.ok : fromPlainError(entry.error)]),
  };
}
