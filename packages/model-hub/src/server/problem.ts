import { HUB_ERROR_STATUS, HubError, type HubErrorCode } from "../errors.js";
import { redact } from "../internal/redact.js";
import { certainStorageError } from "../internal/storage-error.js";

/** One fault of a request. */
export interface ProblemIssue {
  /** `body.epochs`, `query.limit`, a column or a line. */
  readonly path: string;
  readonly message: string;
}

/** `application/problem+json` (RFC 9457) as `spec/model-hub.md` 2.8 has it. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: HubErrorCode;
  readonly detail: string;
  /** What the server's log names the request by. */
  readonly request_id?: string;
  readonly errors?: readonly ProblemIssue[];
  /** Facts of the error: the retry delay, the job, the existing file. */
  readonly details?: Readonly<Record<string, unknown>>;
}

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad request",
  401: "Not signed in",
  403: "Not allowed",
  404: "Not found",
  409: "Conflict",
  410: "Gone",
  412: "Changed meanwhile",
  413: "Too large",
  415: "Unsupported type",
  422: "Cannot be processed",
  429: "Too many requests",
  500: "Internal error",
  502: "A source failed",
  503: "Busy",
  507: "No space",
};

/** What a client learns of a fault that nobody foresaw: no message, stack or path of the server. */
const INTERNAL_DETAIL = "The server failed. Its log names the cause under this request id.";

/** Codes whose text is made for operators and may name files of the server. */
const isOpaque = (code: HubErrorCode): boolean => HUB_ERROR_STATUS[code] === 500;

/** Absolute paths of the server: POSIX with at least two parts, Windows drives, file URLs. */
const SERVER_PATH = /file:\/\/\/[^\s"',)]+|\b[A-Za-z]:\\[^\s"',)]+|(?<![\w:/.])\/(?:[\w.@+-]+\/)+[\w.@+-]*/g;

/** Text for a client: no secret, and in answers of 5xx no path of the server either. */
function clientText(text: string, status: number): string {
  const clean = redact(text);
  return status >= 500 ? clean.replace(SERVER_PATH, "(path)") : clean;
}

/** Keeps strings, numbers, booleans, null and small lists and objects of them. */
function clientDetails(details: Readonly<Record<string, unknown>>, status: number): Record<string, unknown> {
  const copy = (value: unknown, depth: number): unknown => {
    if (typeof value === "string") return clientText(value, status);
    if (typeof value === "number") return Number.isFinite(value) ? value : null;
    if (value === null || typeof value === "boolean") return value;
    if (depth > 4) return undefined;
    if (Array.isArray(value)) return value.slice(0, 50).map((item) => copy(item, depth + 1) ?? null);
    if (typeof value === "object" && !(value instanceof Error)) {
      return Object.fromEntries(
        Object.entries(value).flatMap(([key, item]) => {
          const kept = copy(item, depth + 1);
          return kept === undefined ? [] : [[key, kept]];
        }),
      );
    }
    return undefined;
  };
  return copy(details, 0) as Record<string, unknown>;
}

function issuesOf(details: Readonly<Record<string, unknown>>): ProblemIssue[] | null {
  const list = details["issues"] ?? details["errors"];
  if (!Array.isArray(list)) return null;
  const issues = list.slice(0, 50).flatMap((item: unknown) => {
    if (typeof item === "string") return [{ path: "", message: item }];
    if (typeof item !== "object" || item === null) return [];
    const { path, line, column, message } = item as Record<string, unknown>;
    const place = [
      ...(typeof path === "string" ? [path] : []),
      ...(typeof line === "number" ? [`line ${line}`] : []),
      ...(typeof column === "string" ? [`column ${column}`] : []),
    ].join(", ");
    return [{ path: place, message: String(message ?? "") }];
  });
  return issues.length > 0 ? issues : null;
}

/**
 * What a client is told of an error. A HubError keeps code and message (secrets redacted, the server's paths blanked in 5xx); anything else
 * is `INTERNAL` without a word of what it was.
 */
export function problemOf(given: unknown, { requestId }: { requestId?: string } = {}): Problem {
  const error = certainStorageError(given);
  const code: HubErrorCode =
    HubError.isInstance(error) && Object.hasOwn(HUB_ERROR_STATUS, error.code) ? error.code : "INTERNAL";
  const status = HUB_ERROR_STATUS[code];
  const known = HubError.isInstance(error) && !isOpaque(code) ? error : null;
  const issues = known === null ? null : issuesOf(known.details);
  const details = known === null ? {} : clientDetails(known.details, status);
  if (issues !== null) {
    delete details["issues"];
    delete details["errors"];
  }
  return {
    type: `urn:seg:problem:${code.toLowerCase().replaceAll("_", "-")}`,
    title: TITLES[status] ?? "Error",
    status,
    code,
    detail: known === null ? INTERNAL_DETAIL : clientText(known.message, status),
    ...(requestId === undefined ? {} : { request_id: requestId }),
    ...(issues === null ? {} : { errors: issues.map((i) => ({ ...i, message: clientText(i.message, status) })) }),
    ...(Object.keys(details).length > 0 ? { details } : {}),
  };
}

/** The answer that carries `problem`. */
export function problemResponse(problem: Problem, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(problem), {
    status: problem.status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}
