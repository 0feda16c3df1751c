import { escapeHtml } from "./html.js";
import type { OpenApiDocument, OpenApiOperation } from "./openapi.js";

type Schema = Readonly<Record<string, unknown>>;

export const DOCS_STYLE = `
:root{color-scheme:light dark;--text:#1b1f24;--muted:#57606a;--line:#d8dee4;--back:#fff;--panel:#f6f8fa;--accent:#0b5cad;
--get:#0b6b3a;--post:#0b5cad;--delete:#b3261e;--patch:#8a5a00}
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--muted:#9da7b3;--line:#30363d;--back:#0d1117;--panel:#161b22;--accent:#6cb6ff;
--get:#56d48a;--post:#6cb6ff;--delete:#ff8f85;--patch:#e3b341}}
*{box-sizing:border-box}body{margin:0;font:16px/1.55 system-ui,sans-serif;color:var(--text);background:var(--back)}
main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem 4rem}h1{margin:.2em 0}h2{margin:2.2em 0 .6em;border-bottom:1px solid var(--line)}
p{margin:.4em 0}.muted{color:var(--muted)}a{color:var(--accent)}code,pre{font:13px/1.5 ui-monospace,monospace}
details{border:1px solid var(--line);border-radius:8px;margin:.5rem 0;background:var(--panel)}
summary{display:flex;flex-wrap:wrap;gap:.4rem .8rem;align-items:baseline;padding:.6rem .8rem;cursor:pointer}
summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:8px}
.body{padding:.2rem .9rem .9rem;border-top:1px solid var(--line)}.method{font-weight:700;font-family:ui-monospace,monospace;min-width:4.2em}
.get{color:var(--get)}.post{color:var(--post)}.delete{color:var(--delete)}.patch{color:var(--patch)}.role{margin-left:auto;color:var(--muted);font-size:.85em}
table{border-collapse:collapse;width:100%;font-size:.92em}th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
pre{overflow-x:auto;padding:.7rem;border:1px solid var(--line);border-radius:6px;background:var(--back);margin:.5rem 0}h4{margin:1em 0 .3em}`;

/** A schema as one line: `{ version: string, reason?: string }`. */
function sketch(schema: Schema | undefined): string {
  if (schema === undefined) return "";
  const { $ref, type, properties, required, items, anyOf, additionalProperties } = schema as {
    $ref?: string;
    type?: string | string[];
    properties?: Record<string, Schema>;
    required?: string[];
    items?: Schema;
    anyOf?: Schema[];
    additionalProperties?: Schema | boolean;
  };
  if ($ref !== undefined) return $ref.split("/").at(-1)!;
  if (schema["enum"] !== undefined) return (schema["enum"] as unknown[]).map((v) => JSON.stringify(v)).join(" | ");
  if (schema["const"] !== undefined) return JSON.stringify(schema["const"]);
  if (anyOf !== undefined) return anyOf.map(sketch).join(" | ");
  if (properties !== undefined) {
    const fields = Object.entries(properties).map(
      ([name, value]) => `${name}${required?.includes(name) ? "" : "?"}: ${sketch(value)}`,
    );
    return fields.length > 3
      ? `{\n  ${fields.join(",\n  ").replaceAll(/\n(?!\s\s\w)/g, "\n  ")}\n}`
      : `{ ${fields.join(", ")} }`;
  }
  if (items !== undefined) return `${sketch(items)}[]`;
  if (typeof additionalProperties === "object") return `{ [key]: ${sketch(additionalProperties)} }`;
  return Array.isArray(type) ? type.join(" | ") : (type ?? "any");
}

/** A call of the operation for a shell. */
function curl(path: string, method: string, operation: OpenApiOperation): string {
  const parts = [`curl${method === "get" ? "" : ` -X ${method.toUpperCase()}`} http://localhost:8000${path}`];
  if (operation.security.length > 0) parts.push('-H "Authorization: Bearer $TOKEN"');
  const content = operation.requestBody?.content;
  if (content?.["multipart/form-data"] !== undefined) parts.push("-F file=@data.csv");
  else if (content?.["application/json"] !== undefined) {
    parts.push('-H "Content-Type: application/json"', `-d '${EXAMPLES[operation.operationId] ?? "{}"}'`);
  }
  return parts.join(" \\\n  ");
}

const EXAMPLES: Readonly<Record<string, string>> = {
  retrain: '{"use_database": true, "epochs": 100, "batch_size": 32, "learning_rate": 0.001, "hidden_size": 64}',
  activate: '{"version": "v20251111_153045"}',
  rollback: '{"reason": "regression on night images"}',
  deactivate: '{"reason": "recalled"}',
  updateVersion: '{"description": "night shift data added"}',
  createToken: '{"name": "line 3", "role": "user"}',
};

function operationHtml(path: string, method: string, operation: OpenApiOperation): string {
  const e = escapeHtml;
  const role = operation["x-role"] === "none" ? "open" : operation["x-role"];
  const parameters = operation.parameters
    .map(
      (p) =>
        `<tr><td><code>${e(p.name)}</code></td><td>${p.in}${p.required ? "" : ", optional"}</td><td><code>${e(sketch(p.schema))}</code> ${e(p.description ?? "")}</td></tr>`,
    )
    .join("");
  const bodies = Object.entries(operation.requestBody?.content ?? {})
    .map(([type, { schema }]) => `<h4>Body, ${e(type)}</h4><pre tabindex="0">${e(sketch(schema))}</pre>`)
    .join("");
  const answers = Object.entries(operation.responses)
    .map(([status, answer]) => {
      const [type, media] = Object.entries(answer.content ?? {})[0] ?? ["", {}];
      const shape = sketch((media as { schema?: Schema }).schema);
      return `<tr><td><code>${status}</code></td><td>${e(answer.description)}</td><td><code>${e(shape || type)}</code></td></tr>`;
    })
    .join("");
  return `<details id="${e(operation.operationId)}"><summary><span class="method ${method}">${method.toUpperCase()}</span><code>${e(path)}</code><span>${e(operation.summary)}</span><span class="role">${role}</span></summary><div class="body">
${operation.description === undefined ? "" : `<p>${e(operation.description)}</p>`}
${parameters === "" ? "" : `<h4>Parameters</h4><table><thead><tr><th>Name</th><th>Where</th><th>Value</th></tr></thead><tbody>${parameters}</tbody></table>`}
${bodies}<h4>Answers</h4><table><thead><tr><th>Status</th><th>When</th><th>Body</th></tr></thead><tbody>${answers}</tbody></table>
<h4>Call</h4><pre tabindex="0">${e(curl(path, method, operation))}</pre></div></details>`;
}

/** The documentation as one static page without a script: made from the OpenAPI document, so it cannot differ from it. */
export function docsPage(document: OpenApiDocument): string {
  const e = escapeHtml;
  const sections = document.tags.map(({ name }) => {
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods)
        .filter(([, operation]) => operation.tags.includes(name))
        .map(([method, operation]) => operationHtml(path, method, operation)),
    );
    return `<section><h2>${e(name)}</h2>${operations.join("")}</section>`;
  });
  const schemas = Object.entries(document.components.schemas)
    .map(
      ([name, schema]) =>
        `<details id="schema-${e(name)}"><summary><code>${e(name)}</code></summary><div class="body"><pre tabindex="0">${e(sketch(schema))}</pre></div></details>`,
    )
    .join("");
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Model hub: HTTP API</title><style>${DOCS_STYLE}</style></head><body><main><h1>Model hub: HTTP API</h1>
<p>${e(String(document.info["description"] ?? ""))}</p>
<p class="muted">All but <code>/docs</code>, <code>/openapi.json</code>, <code>/healthz</code> and the page <code>/dashboard</code> needs <code>Authorization: Bearer TOKEN</code>. Role <b>user</b> reads; role <b>admin</b> does everything. <a href="/openapi.json">OpenAPI ${e(document.openapi)} document</a> · <a href="/dashboard">Dashboard</a></p>
${sections.join("\n")}<section><h2>Schemas</h2>${schemas}</section></main></body></html>`;
}
