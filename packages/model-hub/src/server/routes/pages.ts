import { z } from "zod";
import { dashboardPage } from "../../dashboard/dashboard-page.js";
import { DOCS_STYLE, docsPage } from "../docs-page.js";
import { contentSecurityPolicy, htmlResponse } from "../html.js";
import type { OpenApiDocument } from "../openapi.js";
import { ok, type Route, route } from "../route.js";

/** What needs no token: health, documentation, and the dashboard's page, which asks for one. None of them holds data. */
export function pageRoutes({ openapi }: { openapi: OpenApiDocument }): Route[] {
  const docs = docsPage(openapi);
  const docsPolicy = contentSecurityPolicy({ scripts: [], styles: [DOCS_STYLE] });
  const dashboard = dashboardPage();
  const documentText = JSON.stringify(openapi);
  const shared = { method: "get", tag: "Pages", access: "open" } as const;
  return [
    route({
      ...shared,
      path: "/healthz",
      id: "health",
      summary: "Whether the process answers",
      answers: { 200: { description: "It does", schema: z.object({ status: z.literal("ok") }) } },
      async handle() {
        return ok({ status: "ok" });
      },
    }),
    route({
      ...shared,
      path: "/openapi.json",
      id: "openapi",
      summary: "The OpenAPI 3.1 document",
      answers: { 200: { description: "The document", schema: z.object({}) } },
      async handle() {
        return new Response(documentText, { headers: { "content-type": "application/json" } });
      },
    }),
    route({
      ...shared,
      path: "/docs",
      id: "docs",
      summary: "The documentation",
      answers: { 200: { description: "A page", contentType: "text/html" } },
      async handle() {
        return htmlResponse(docs, docsPolicy);
      },
    }),
    route({
      ...shared,
      path: "/dashboard",
      id: "dashboard",
      summary: "The dashboard",
      answers: { 200: { description: "A page", contentType: "text/html" } },
      async handle() {
        return htmlResponse(dashboard.html, contentSecurityPolicy(dashboard));
      },
    }),
  ];
}
