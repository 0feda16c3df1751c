import { HubError, type HubErrorCode } from "../errors.js";
import { backOffMs, retryAfterMs } from "./back-off.js";
import type { HubClock } from "./clock.js";
import { redact } from "./redact.js";

export type Fetch = (input: string, init?: RequestInit) => Promise<Response>;

/** What reaches the outside world, replaceable as a whole. */
export interface HttpWorld {
  readonly fetch: Fetch;
  /** Used for the bodies of files. @defaultValue `fetch` */
  readonly fetchFile?: Fetch;
  readonly clock: HubClock;
  /** In [0, 1): spreads retries. */
  readonly random: () => number;
}

export interface HttpRequest {
  readonly method?: "GET" | "HEAD" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Sent as a bearer token to the origin of the first URL only; a redirect to another origin does not carry it. */
  readonly token?: string | null | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Until the headers of each hop have arrived. @defaultValue 10000 */
  readonly headersTimeoutMs?: number;
  /** The answer is a file, read by `consumeBody`. */
  readonly isFile?: boolean;
}

export interface HttpAnswer {
  readonly response: Response;
  /** Where the answer came from, after redirects. */
  readonly url: string;
  /** Headers of each redirect before it: hubs state digest and commit there. */
  readonly hops: readonly Headers[];
}

/** As browsers do; a chain that long is a loop. */
const MAX_REDIRECTS = 10;
/** A model card or listing page is far smaller; a larger answer is no listing. */
const MAX_JSON_BYTES = 64 * 2 ** 20;
const RETRIED = new Set([408, 429, 500, 502, 503, 504]);
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Longest pause between attempts, seconds. */
const MAX_BACK_OFF_S = 30;

/** HTTP with the rules that every source shares: bounded redirects, tokens that do not follow them, timeouts, back-off, redacted errors. */
export class HttpClient {
  readonly world: HttpWorld;
  constructor(world: HttpWorld) {
    this.world = world;
  }

  /**
   * One request with its redirects, without retries; any status is an answer.
   * @throws {@link HubError} `SOURCE_UNAVAILABLE` when no answer arrives, `DOWNLOAD_FAILED` for a redirect loop or a redirect that leaves HTTP
   */
  async open(
    url: string,
    { method = "GET", headers = {}, body, token, signal, headersTimeoutMs = 10_000, isFile = false }: HttpRequest = {},
  ): Promise<HttpAnswer> {
    const { origin } = parseHttpUrl(url, "INVALID_REQUEST");
    const fetch = (isFile && this.world.fetchFile) || this.world.fetch;
    const hops: Headers[] = [];
    let at = url;
    let verb = method;
    for (;;) {
      signal?.throwIfAborted();
      const timeout = new AbortController();
      const timer = setTimeout(() => timeout.abort(), headersTimeoutMs);
      const sent: Record<string, string> = { ...headers };
      if (token && new URL(at).origin === origin) sent["authorization"] = `Bearer ${token}`;
      let response: Response;
      try {
        response = await fetch(at, {
          method: verb,
          headers: sent,
          redirect: "manual",
          signal: signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal,
          ...(body === undefined || verb !== "POST" ? {} : { body }),
        });
      } catch (cause) {
        signal?.throwIfAborted();
        const why = timeout.signal.aborted ? `no answer within ${headersTimeoutMs} ms` : describe(cause);
        throw new HubError({
          code: "SOURCE_UNAVAILABLE",
          message: `${verb} ${redact(at, [token])} failed: ${redact(why, [token])}. Check the connection, or use the cache with offline mode.`,
          details: { url: redact(at, [token]), reason: "network" },
        });
      } finally {
        clearTimeout(timer);
      }
      if (!REDIRECTS.has(response.status)) return { response, url: at, hops };
      const location = response.headers.get("location");
      await response.body?.cancel().catch(() => {});
      if (location === null) return { response, url: at, hops };
      hops.push(response.headers);
      if (hops.length > MAX_REDIRECTS) {
        throw new HubError({
          code: "DOWNLOAD_FAILED",
          message: `${redact(url, [token])} redirects more than ${MAX_REDIRECTS} times, a loop. Nothing was written.`,
          details: { url: redact(url, [token]), reason: "redirect-loop" },
        });
      }
      at = parseHttpUrl(new URL(location, at).href, "DOWNLOAD_FAILED").href;
      if (response.status === 303) verb = "GET";
    }
  }

  /**
   * An answer with status 2xx or a status that `accept` names; 408, 429, 5xx and network failures are tried again with back-off
   * (`Retry-After` wins), at most `attempts` times in all.
   */
  async request(
    url: string,
    { attempts = 5, accept = [], ...request }: HttpRequest & { attempts?: number; accept?: readonly number[] } = {},
  ): Promise<HttpAnswer> {
    const { clock, random } = this.world;
    for (let attempt = 0; ; attempt++) {
      const isLast = attempt + 1 >= attempts;
      let pause = backOffMs(attempt, random, MAX_BACK_OFF_S);
      try {
        const answer = await this.open(url, request);
        const { status, ok, headers } = answer.response;
        if (ok || accept.includes(status)) return answer;
        if (isLast || !RETRIED.has(status)) throw await errorOfAnswer(answer, request.token);
        pause = retryAfterMs(headers.get("retry-after"), clock.now()) ?? pause;
        await answer.response.body?.cancel().catch(() => {});
      } catch (error) {
        const isNetwork = HubError.isInstance(error) && error.details["reason"] === "network";
        if (isLast || !isNetwork) throw error;
      }
      await clock.sleep(pause, request.signal);
    }
  }

  /** The parsed JSON body and the answer's headers. */
  async json(
    url: string,
    options: HttpRequest & { attempts?: number } = {},
  ): Promise<{ value: unknown; headers: Headers }> {
    const answer = await this.request(url, {
      ...options,
      headers: { accept: "application/json", ...(options.headers ?? {}) },
    });
    const text = await readText(answer.response, MAX_JSON_BYTES);
    try {
      return { value: JSON.parse(text), headers: answer.response.headers };
    } catch {
      throw new HubError({
        code: "UNEXPECTED_CONTENT",
        message: `${redact(url, [options.token])} answered ${answer.response.headers.get("content-type") ?? "an unknown type"}, not JSON: ${JSON.stringify(text.slice(0, 80))}`,
        details: { url: redact(url, [options.token]) },
      });
    }
  }
}

/** @throws {@link HubError} when `url` is no http(s) URL */
export function parseHttpUrl(url: string, code: HubErrorCode): URL {
  let parsed: URL | null = null;
  try {
    parsed = new URL(url);
  } catch {
    // Reported below.
  }
  if (parsed !== null && (parsed.protocol === "https:" || parsed.protocol === "http:")) return parsed;
  throw new HubError({
    code,
    message: `${JSON.stringify(redact(url))} is no http or https URL.`,
    details: { url: redact(url), reason: "bad-url" },
  });
}

/** The message of a failed fetch: undici hides the reason in `cause`. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error
    ? `${error.message} (${cause.message || (cause as NodeJS.ErrnoException).code})`
    : error.message;
}

async function readText(response: Response, limit: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > limit) {
      throw new HubError({
        code: "UNEXPECTED_CONTENT",
        message: `The answer of ${response.url} exceeds ${limit} bytes.`,
      });
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

const CODE_OF_STATUS: Readonly<Record<number, HubErrorCode>> = {
  401: "AUTH_REQUIRED",
  403: "FORBIDDEN",
  404: "NOT_FOUND",
  410: "GONE",
  429: "RATE_LIMITED",
};

/** Hugging Face hides private and absent repositories behind 401; its own code says what is meant. */
const CODE_OF_HUB_CODE: Readonly<Record<string, HubErrorCode>> = {
  GatedRepo: "GATED",
  RepoNotFound: "NOT_FOUND",
  RevisionNotFound: "NOT_FOUND",
  EntryNotFound: "NOT_FOUND",
};

/** The error of an answer outside 2xx. `X-Error-Code` and `X-Error-Message` are Hugging Face's, the JSON `error`/`message` everybody's. */
export async function errorOfAnswer(
  { response, url }: HttpAnswer,
  token: string | null | undefined,
): Promise<HubError> {
  const { status, headers } = response;
  const hubCode = headers.get("x-error-code");
  const body = await readText(response, 65_536).catch(() => "");
  let said = headers.get("x-error-message") ?? "";
  if (said === "" && /^\s*[[{]/.test(body)) {
    try {
      const parsed = JSON.parse(body) as { error?: unknown; message?: unknown };
      said = ([parsed.error, parsed.message].find((text) => typeof text === "string") as string | undefined) ?? "";
    } catch {
      // No JSON: the status says enough.
    }
  }
  const code: HubErrorCode =
    CODE_OF_HUB_CODE[hubCode ?? ""] ??
    CODE_OF_STATUS[status] ??
    (status >= 400 && status < 500 ? "DOWNLOAD_FAILED" : "SOURCE_UNAVAILABLE");
  const hint: Partial<Record<HubErrorCode, string>> = {
    AUTH_REQUIRED: " A token is needed: set HF_TOKEN or CIVITAI_TOKEN.",
    GATED: " Accept the conditions on the model's page, then use a token of that account (HF_TOKEN).",
    RATE_LIMITED: " Wait, or use a token: limits are higher with one.",
  };
  const retryAfter = headers.get("retry-after");
  return new HubError({
    code,
    message: `${redact(url, [token])} answered ${status}${said === "" ? "" : `: ${redact(said, [token]).slice(0, 300)}`}.${hint[code] ?? ""}`,
    details: {
      url: redact(url, [token]),
      status,
      ...(hubCode === null ? {} : { hubCode }),
      ...(retryAfter === null ? {} : { retryAfter }),
      requestId: headers.get("x-request-id"),
    },
  });
}
