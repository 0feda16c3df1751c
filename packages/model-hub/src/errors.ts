const brand = Symbol.for("@seg/error");

/**
 * Every error code of this package and the HTTP status that carries it (`spec/model-hub.md` 2.8). An abort is no error of this package:
 * `signal.reason` is rethrown as it is, never retried, and a command that was aborted ends with exit status 130.
 */
export const HUB_ERROR_STATUS = {
  INVALID_REQUEST: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  GATED: 403,
  AUTH_REQUIRED: 403,
  EARLY_ACCESS: 403,
  NOT_FOUND: 404,
  NO_ACTIVE_VERSION: 404,
  VERSION_ACTIVE: 409,
  CONFLICT: 409,
  INVALID_STATE: 409,
  NO_PREVIOUS_VERSION: 409,
  INCOMPLETE_SNAPSHOT: 409,
  GONE: 410,
  STALE: 412,
  TOO_LARGE: 413,
  UNSUPPORTED_TYPE: 415,
  SCHEMA: 422,
  DATASET_TOO_SMALL: 422,
  INVALID_METRIC: 422,
  IDEMPOTENCY_MISMATCH: 422,
  NO_ANNOTATIONS: 422,
  NO_FEASIBLE_PLAN: 422,
  MODEL_TOO_LARGE: 422,
  LICENCE_NOT_ACCEPTED: 422,
  RATE_LIMITED: 429,
  INTERNAL: 500,
  SCHEMA_TOO_NEW: 500,
  SOURCE_UNAVAILABLE: 502,
  DOWNLOAD_FAILED: 502,
  UNEXPECTED_CONTENT: 502,
  INTEGRITY: 502,
  UPSTREAM_CHANGED: 502,
  ALL_SOURCES_FAILED: 502,
  POOL_FULL: 503,
  POOL_TIMEOUT: 503,
  QUEUE_FULL: 503,
  NO_SPACE: 507,
} as const satisfies Readonly<Record<string, number>>;

/** Stable; the same in library, command line and HTTP. Callers and tests match on it, never on the message. */
export type HubErrorCode = keyof typeof HUB_ERROR_STATUS;

/** Base of every error of this package: a stable code, what happened, where, and what to do. */
export class HubError extends Error {
  readonly [brand] = true;
  override readonly name: string = "HubError";
  readonly code: HubErrorCode;
  /** Facts for machines; never a secret. */
  readonly details: Readonly<Record<string, unknown>>;
  constructor({
    code,
    message,
    cause,
    details = {},
  }: { code: HubErrorCode; message: string; cause?: unknown; details?: Readonly<Record<string, unknown>> }) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }
  /** True for any HubError, of whichever copy of this package. */
  static isInstance(value: unknown): value is HubError {
    return typeof value === "object" && value !== null && brand in value && "details" in value;
  }
}
