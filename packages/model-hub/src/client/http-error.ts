import { HubError, type HubErrorCode } from "../errors.js";

/** A refusal of the server: the problem document's code, status and faults. */
export class HubHttpError extends HubError {
  override readonly name = "HubHttpError";
  readonly status: number;
  /** Names the request in the server's log; null when the server did not say. */
  readonly requestId: string | null;
  /** Seconds to wait (429, 503); null when the server did not say. */
  readonly retryAfterS: number | null;
  /** Faults of the request, by place. */
  readonly errors: readonly { readonly path: string; readonly message: string }[];
  constructor({
    status,
    code,
    message,
    requestId,
    retryAfterS,
    errors,
    details,
  }: {
    status: number;
    code: HubErrorCode;
    message: string;
    requestId: string | null;
    retryAfterS: number | null;
    errors: readonly { readonly path: string; readonly message: string }[];
    details: Readonly<Record<string, unknown>>;
  }) {
    super({ code, message, details });
    this.status = status;
    this.requestId = requestId;
    this.retryAfterS = retryAfterS;
    this.errors = errors;
  }
  static override isInstance(value: unknown): value is HubHttpError {
    return HubError.isInstance(value) && value.name === "HubHttpError";
  }
}

/** The error in a refused answer; an answer of something else than the hub (a proxy) becomes `INTERNAL` with its status. */
export async function httpErrorOf(response: Response): Promise<HubHttpError> {
  const text = await response.text().catch(() => "");
  let problem: Record<string, unknown> = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) problem = parsed as Record<string, unknown>;
  } catch {
    // Not from the hub.
  }
  const after = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new HubHttpError({
    status: response.status,
    code: (typeof problem["code"] === "string" ? problem["code"] : "INTERNAL") as HubErrorCode,
    message:
      typeof problem["detail"] === "string"
        ? problem["detail"]
        : `The server answered ${response.status} without a problem document.`,
    requestId: typeof problem["request_id"] === "string" ? problem["request_id"] : response.headers.get("x-request-id"),
    retryAfterS: Number.isFinite(after) ? after : null,
    errors: Array.isArray(problem["errors"]) ? (problem["errors"] as { path: string; message: string }[]) : [],
    details: typeof problem["details"] === "object" && problem["details"] !== null ? { ...problem["details"] } : {},
  });
}
