import { Ajv2020 } from "ajv/dist/2020.js";
import { expect } from "vitest";
import type { OpenApiDocument, OpenApiOperation } from "../src/server/openapi.js";

/** Checks answers against an OpenAPI document, by a JSON Schema validator that is not the one that made them. */
export class Contract {
  readonly #document: OpenApiDocument;
  readonly #ajv: Ajv2020;
  readonly #templates: readonly { readonly path: string; readonly pattern: RegExp }[];
  /** `get /model/active 200`: what was seen and held. */
  readonly seen = new Set<string>();

  constructor(document: OpenApiDocument) {
    this.#document = document;
    this.#ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
    this.#ajv.addSchema({ ...document, $id: "openapi" });
    // Literal paths win over those with parameters.
    this.#templates = Object.keys(document.paths)
      .map((path) => ({ path, pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, "[^/]+")}$`) }))
      .sort((a, b) => a.path.split("{").length - b.path.split("{").length);
  }

  /** Fails the test unless status, content type and body are as the document says. Paths that it does not have must be 404 or 401. */
  async check(method: string, url: string, response: Response): Promise<void> {
    const { pathname } = new URL(url, "http://hub.test");
    const template = this.#templates.find(({ pattern }) => pattern.test(pathname))?.path;
    const operation = (template === undefined ? undefined : this.#document.paths[template]?.[method.toLowerCase()]) as
      | OpenApiOperation
      | undefined;
    if (template === undefined || operation === undefined) return;
    const what = `${method.toLowerCase()} ${template} ${response.status}`;
    const status =
      operation.responses[String(response.status)] === undefined && response.status >= 500
        ? "5XX"
        : String(response.status);
    const answer = operation.responses[status];
    expect(answer, `${what} is not in the document`).toBeDefined();
    const type = (response.headers.get("content-type") ?? "").split(";")[0]!;
    expect(Object.keys(answer!.content ?? {}), what).toContain(type);
    if (!type.endsWith("json")) return;
    const pointer = ["paths", template, method.toLowerCase(), "responses", status, "content", type, "schema"]
      .map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1")))
      .join("/");
    const body: unknown = await response.clone().json();
    const validate = this.#ajv.getSchema(`openapi#/${pointer}`) ?? this.#ajv.compile({ $ref: `openapi#/${pointer}` });
    if (!validate(body)) {
      const errors = (validate.errors ?? []).map(
        ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
      );
      expect(errors, `${what}: ${JSON.stringify(body).slice(0, 500)}`).toEqual([]);
    }
    this.seen.add(what);
  }
}
