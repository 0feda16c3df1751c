import { z } from "zod";
import { HUB_ERROR_STATUS, type HubErrorCode } from "../errors.js";
import { VERSION } from "../tool-version.js";
import type { Route } from "./route.js";
import { components } from "./schemas/common.js";

type JsonSchema = Record<string, unknown>;

/** An OpenAPI 3.1 document; its schemas are JSON Schema 2020-12. */
export interface OpenApiDocument {
  readonly openapi: "3.1.0";
  readonly info: Readonly<Record<string, unknown>>;
  readonly tags: readonly { readonly name: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>>; readonly securitySchemes: unknown };
}

export interface OpenApiOperation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly security: readonly unknown[];
  readonly "x-role": "none" | "user" | "admin";
  readonly parameters: readonly OpenApiParameter[];
  readonly requestBody?: {
    readonly required: boolean;
    readonly content: Readonly<Record<string, { schema: JsonSchema }>>;
  };
  readonly responses: Readonly<Record<string, OpenApiAnswer>>;
}

export interface OpenApiParameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required: boolean;
  readonly description?: string;
  readonly schema: JsonSchema;
}

export interface OpenApiAnswer {
  readonly description: string;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly content?: Readonly<Record<string, { readonly schema?: JsonSchema }>>;
}

const REF = "#/components/schemas/";

/** Requests as they are sent, answers as they are given: defaults and transforms differ between the two. */
function schemaOf(schema: z.ZodType, io: "input" | "output"): JsonSchema {
  const known = components.get(schema);
  if (known !== undefined) return { $ref: REF + known.id };
  return clean(z.toJSONSchema(schema, { io, metadata: components, unrepresentable: "any" }) as JsonSchema);
}

/** Zod writes shared schemas under `$defs` of each document; here they live in one place. */
function clean(schema: JsonSchema): JsonSchema {
  const { $schema: _, $id: __, $defs: ___, id: ____, ...rest } = schema;
  return move(rest) as JsonSchema;
}

function move(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(move);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) =>
      key === "$ref" && typeof item === "string" ? [key, item.replace(/^#\/\$defs\//, REF)] : [key, move(item)],
    ),
  );
}

function parametersOf(route: Route): OpenApiParameter[] {
  const list: OpenApiParameter[] = [];
  for (const [where, schema] of [
    ["path", route.params],
    ["query", route.query],
  ] as const) {
    if (schema === undefined) continue;
    const { properties = {}, required = [] } = schemaOf(schema, "input") as {
      properties?: Record<string, JsonSchema>;
      required?: string[];
    };
    for (const [name, { description, ...property }] of Object.entries(properties)) {
      list.push({
        name,
        in: where,
        required: where === "path" || required.includes(name),
        ...(typeof description === "string" ? { description } : {}),
        schema: property,
      });
    }
  }
  for (const [name, description] of Object.entries(route.headers ?? {})) {
    list.push({ name, in: "header", required: name === "if-match", description, schema: { type: "string" } });
  }
  return list;
}

function bodyOf(route: Route): OpenApiOperation["requestBody"] {
  if (route.multipart !== undefined) {
    const fields = schemaOf(route.multipart, "input");
    const schema = {
      ...fields,
      properties: {
        ...(fields["properties"] as object),
        file: { type: "string", contentMediaType: "application/octet-stream" },
      },
      required: ["file", ...((fields["required"] as string[] | undefined) ?? [])],
    };
    return { required: true, content: { "multipart/form-data": { schema } } };
  }
  if (route.body === undefined) return undefined;
  return {
    required: route.isBodyOptional !== true,
    content: { "application/json": { schema: schemaOf(route.body, "input") } },
  };
}

/** Errors that any request can meet before its handler. */
function errorCodes(route: Route): HubErrorCode[] {
  const codes = new Set<HubErrorCode>(route.errors ?? []);
  if (route.access !== "open") codes.add("UNAUTHENTICATED").add("RATE_LIMITED");
  if (route.access === "admin") codes.add("FORBIDDEN");
  codes.add("INVALID_REQUEST");
  if (route.body !== undefined) codes.add("TOO_LARGE").add("UNSUPPORTED_TYPE");
  return [...codes];
}

function answersOf(route: Route): Record<string, OpenApiAnswer> {
  const answers: Record<string, OpenApiAnswer> = {};
  for (const [status, { description, schema, contentType = "application/json", headers }] of Object.entries(
    route.answers,
  )) {
    answers[status] = {
      description,
      ...(headers === undefined
        ? {}
        : {
            headers: Object.fromEntries(
              Object.entries(headers).map(([name, text]) => [name, { description: text, schema: { type: "string" } }]),
            ),
          }),
      content: { [contentType]: schema === undefined ? {} : { schema: schemaOf(schema, "output") } },
    };
  }
  const byStatus = new Map<number, HubErrorCode[]>();
  for (const code of errorCodes(route)) {
    const status = HUB_ERROR_STATUS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  for (const [status, codes] of [...byStatus].sort(([a], [b]) => a - b)) {
    answers[String(status)] = {
      description: codes.sort().join(", "),
      ...(status === 429
        ? { headers: { "Retry-After": { description: "Seconds", schema: { type: "integer" } } } }
        : {}),
      content: { "application/problem+json": { schema: { $ref: `${REF}Problem` } } },
    };
  }
  answers["5XX"] = {
    description: "A fault of the server or of what it depends on; the code says which, INTERNAL tells nothing more",
    content: { "application/problem+json": { schema: { $ref: `${REF}Problem` } } },
  };
  return answers;
}

/** The document of `routes`; every schema in it is the one that the request or answer is made with. */
export function openApiDocument(routes: readonly Route[]): OpenApiDocument {
  const paths: Record<string, Record<string, OpenApiOperation>> = {};
  for (const route of routes) {
    const body = bodyOf(route);
    const operation: OpenApiOperation = {
      operationId: route.id,
      tags: [route.tag],
      summary: route.summary,
      ...(route.description === undefined ? {} : { description: route.description }),
      security: route.access === "open" ? [] : [{ bearer: [] }],
      "x-role": route.access === "open" ? "none" : route.access,
      parameters: parametersOf(route),
      ...(body === undefined ? {} : { requestBody: body }),
      responses: answersOf(route),
    };
    const path = paths[route.path] ?? {};
    path[route.method] = operation;
    paths[route.path] = path;
  }
  const { schemas } = z.toJSONSchema(components, { uri: (id) => REF + id, io: "output", unrepresentable: "any" });
  return {
    openapi: "3.1.0",
    info: {
      title: "@seg model hub",
      version: VERSION,
      description:
        "Versions, retraining, data sets, hub sources and layers over HTTP. snake_case JSON; errors are application/problem+json.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: Object.fromEntries(
        Object.entries(schemas)
          .map(([id, schema]) => [id, clean(schema as JsonSchema)] as const)
          .sort(([a], [b]) => (a < b ? -1 : 1)),
      ),
      securitySchemes: {
        bearer: {
          type: "http",
          scheme: "bearer",
          description: "A token of this hub (segh_...) or a JWT of its issuer",
        },
      },
    },
  };
}
