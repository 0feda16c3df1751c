import { randomUUID } from "node:crypto";
import type { HttpBindings } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import { z } from "zod";
import { HubError } from "../errors.js";
import type { Principal } from "../tokens/types.js";
import { type AppDeps, DEFAULT_LIMITS, type ServerLimits } from "./deps.js";
import { createGate } from "./gate.js";
import { type OpenApiDocument, openApiDocument } from "./openapi.js";
import { parseInput } from "./parse-input.js";
import { problemOf, problemResponse } from "./problem.js";
import { MemoryRateLimiter } from "./rate-limit.js";
import { readJson } from "./read-json.js";
import type { Answer, Route } from "./route.js";
import { advisorRoutes } from "./routes/advisor.js";
import { datasetRoutes } from "./routes/datasets.js";
import { hubRoutes } from "./routes/hub.js";
import { jobRoutes } from "./routes/jobs.js";
import { pageRoutes } from "./routes/pages.js";
import { poolRoutes } from "./routes/pool.js";
import { predictRoutes } from "./routes/predict.js";
import { retrainRoutes } from "./routes/retrain.js";
import { tokenRoutes } from "./routes/tokens.js";
import { versionRoutes } from "./routes/versions.js";

/** A Fetch handler and what it serves. */
export interface HubApp {
  /** Answers one request; `env` is what `@hono/node-server` passes. */
  readonly fetch: (request: Request, env?: unknown) => Response | Promise<Response>;
  readonly openapi: OpenApiDocument;
  readonly routes: readonly Route[];
}

const SECURITY_HEADERS = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  "cross-origin-resource-policy": "same-origin",
} as const;

/** Routes without parameters or query take none. */
const NONE = z.strictObject({});

/** The query as an object; a key given twice is a list and fails the schema, which expects text. */
function queryOf(url: string): Record<string, string | string[]> {
  const at = url.indexOf("?");
  if (at < 0) return {};
  const query: Record<string, string | string[]> = Object.create(null);
  for (const [key, value] of new URLSearchParams(url.slice(at + 1))) {
    const before = query[key];
    query[key] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
  }
  return { ...query };
}

function json({ status, json: value, headers }: Answer): Response {
  return new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json", ...headers } });
}

/** Nobody, where a route needs no token. */
const NOBODY: Principal = { id: "", name: "", role: "user", kind: "token" };

/** The address of the client, as far as it can be known; proxies count from the right end of `X-Forwarded-For`. */
function addressOf(context: Context, trustedProxies: number): string {
  // Absent where the handler is not behind node:http (a test, another runtime): one address for all.
  const { incoming } = (context.env ?? {}) as Partial<HttpBindings>;
  let address = incoming?.socket.remoteAddress;
  if (trustedProxies > 0) {
    const hops = (context.req.header("x-forwarded-for") ?? "").split(",").map((hop) => hop.trim());
    address = hops.at(-trustedProxies) || address;
  }
  return address ?? "unknown";
}

/** Every endpoint of `spec/model-hub.md` 2.8. */
function routesOf(deps: AppDeps, limits: ServerLimits, onRevoked: () => void): Route[] {
  return [
    ...retrainRoutes({ ...deps, limits }),
    ...versionRoutes(deps),
    ...datasetRoutes({ ...deps, limits }),
    ...jobRoutes(deps),
    ...hubRoutes({ ...deps, limits }),
    ...advisorRoutes(deps),
    ...poolRoutes(deps),
    ...predictRoutes({ ...deps, limits }),
    ...tokenRoutes({ ...deps, onRevoked }),
  ];
}

/**
 * The HTTP application over its ports: routing, tokens and roles, rate limits, audit log, checks of input, safe errors.
 * The OpenAPI document comes from the same route objects.
 *
 * @example const { fetch } = createApp(deps); await fetch(new Request("http://hub/healthz")) // 200
 */
export function createApp(deps: AppDeps): HubApp {
  const limits: ServerLimits = { ...DEFAULT_LIMITS, ...deps.limits };
  const now = deps.now ?? Date.now;
  const nextRequestId = deps.requestId ?? randomUUID;
  const gate = createGate({ ...deps, limits, now, rateLimiter: deps.rateLimiter ?? new MemoryRateLimiter({ now }) });
  const api = routesOf(deps, limits, gate.recheck);
  const openapi = openApiDocument(api);
  const routes = [...api, ...pageRoutes({ openapi })];

  const answerWith = async (
    context: Context,
    route: Route | null,
    work: (call: { principal: Principal; noteTarget: (target: string) => void }) => Promise<Answer | Response>,
  ): Promise<Response> => {
    const requestId = nextRequestId();
    const { method, path } = context.req;
    const ip = addressOf(context, deps.trustedProxies ?? 0);
    let principal: Principal | null = null;
    let target: string | null = null;
    let code: string | null = null;
    let response: Response;
    try {
      const access = route?.access ?? "user";
      if (access !== "open") {
        await gate.enter({
          authorization: context.req.header("authorization"),
          ip,
          access,
          onPrincipal: (caller) => {
            principal = caller;
          },
        });
      }
      const answer = await work({
        principal: principal ?? NOBODY,
        noteTarget: (name) => {
          target = name;
        },
      });
      response = answer instanceof Response ? answer : json(answer);
    } catch (error) {
      const problem = problemOf(error, { requestId });
      code = problem.code;
      if (problem.status >= 500) deps.onFault?.({ requestId, method, path, error });
      response = problemResponse(problem, {
        ...(problem.status === 401 ? { "www-authenticate": 'Bearer realm="seg-hub"' } : {}),
        ...(problem.status === 429
          ? { "retry-after": String(Math.max(1, Math.ceil(Number(problem.details?.["retry_after_s"] ?? 1)))) }
          : {}),
      });
    }
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.headers.set(name, value);
    response.headers.set("x-request-id", requestId);
    if (!response.headers.has("cache-control")) response.headers.set("cache-control", "no-store");
    // What changes something, or tried to get in and was refused.
    const isRefusal =
      code === "UNAUTHENTICATED" || code === "FORBIDDEN" || (code === "RATE_LIMITED" && principal === null);
    if ((method !== "GET" && method !== "HEAD" && route !== null) || isRefusal) {
      const caller = principal as Principal | null;
      await deps.audit
        .append({
          at: new Date(now()).toISOString(),
          request_id: requestId,
          actor: caller?.id ?? null,
          actor_name: caller?.name ?? null,
          role: caller?.role ?? null,
          ip,
          method,
          path,
          action: route?.id ?? "unknown",
          target,
          status: response.status,
          code,
        })
        .catch((error: unknown) => deps.onFault?.({ requestId, method, path, error }));
    }
    return response;
  };

  const hono = new Hono();
  if (deps.corsOrigins !== undefined && deps.corsOrigins.length > 0) {
    hono.use(
      cors({
        origin: [...deps.corsOrigins],
        allowHeaders: ["authorization", "content-type", "if-match", "last-event-id", "prefer"],
        exposeHeaders: ["etag", "location", "retry-after", "x-request-id"],
      }),
    );
  }
  for (const route of routes) {
    hono.on(route.method.toUpperCase(), route.path.replaceAll(/\{(\w+)\}/g, ":$1"), (context) =>
      answerWith(context, route, async ({ principal, noteTarget }) => {
        const params = parseInput(route.params ?? NONE, context.req.param(), "path");
        const query = parseInput(route.query ?? NONE, queryOf(context.req.url), "query");
        let body: unknown;
        if (route.body !== undefined) {
          const sent = await readJson(context.req.raw, { maxBytes: limits.maxBodyBytes });
          body = parseInput(route.body, sent ?? (route.isBodyOptional ? {} : undefined), "body");
        }
        return route.handle({
          params: params as never,
          query: query as never,
          body: body as never,
          request: context.req.raw,
          principal,
          noteTarget,
        });
      }),
    );
  }
  hono.all("*", (context) =>
    answerWith(context, null, async () => {
      throw new HubError({
        code: "NOT_FOUND",
        message: `${context.req.method} ${context.req.path} is no route of this hub. GET /docs lists them.`,
      });
    }),
  );
  return { fetch: (request, env) => hono.fetch(request, env as never), openapi, routes };
}
