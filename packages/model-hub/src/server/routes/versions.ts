import { z } from "zod";
import { HubError } from "../../errors.js";
import type { AppDeps } from "../deps.js";
import { given } from "../given.js";
import { ok, type Route, route } from "../route.js";
import { Count, component, Done, Flag, ModelQuery, PageQuery, VersionRef } from "../schemas/common.js";
import {
  ActivateBody,
  ActivationRecord,
  ActiveVersion,
  Comparison,
  DeactivateBody,
  HistoryPage,
  PatchBody,
  RollbackBody,
  VersionDetail,
  VersionPage,
  VersionState,
} from "../schemas/versions.js";

const params = z.strictObject({ version: VersionRef });
const Models = component(
  "Models",
  z.object({
    models: z.array(z.object({ model: z.string(), versions: Count, active: z.string().nullable() })),
  }),
);

/** `"7"`, `W/"7"` or `7`: the row version that a change expects. */
function parseIfMatch(header: string | null): number {
  const digits = /^(?:W\/)?"?(\d{1,15})"?$/.exec(header?.trim() ?? "")?.[1];
  if (digits === undefined) {
    throw new HubError({
      code: "INVALID_REQUEST",
      message: 'Send the version\'s row_version as If-Match, for example If-Match: "3".',
      details: { issues: [{ path: "header.if-match", message: "a row_version in quotes" }] },
    });
  }
  return Number(digits);
}

export function versionRoutes({ registry }: Pick<AppDeps, "registry">): Route[] {
  return [
    route({
      method: "get",
      path: "/model/versions",
      id: "listVersions",
      tag: "Versions",
      summary: "Versions of a model, newest first",
      access: "user",
      query: ModelQuery.extend({
        ...PageQuery,
        state: VersionState.optional().describe("Default: all but deleted"),
        tag: z.string().min(1).max(128).optional(),
      }),
      answers: { 200: { description: "A page of versions", schema: VersionPage } },
      errors: ["INVALID_REQUEST"],
      async handle({ query: { state, ...query } }) {
        return ok(await registry.list({ ...given(query), ...(state === undefined ? {} : { states: [state] }) }));
      },
    }),
    route({
      method: "get",
      path: "/model/active",
      id: "getActive",
      tag: "Versions",
      summary: "The version in production",
      access: "user",
      query: ModelQuery,
      answers: { 200: { description: "The active version", schema: ActiveVersion } },
      errors: ["NO_ACTIVE_VERSION"],
      async handle({ query: { model } }) {
        const active = await registry.active(given({ model }));
        if (active === null) {
          throw new HubError({
            code: "NO_ACTIVE_VERSION",
            message: `No version of model "${model ?? "default"}" is active. POST /model/activate chooses one.`,
          });
        }
        return ok(active);
      },
    }),
    route({
      method: "post",
      path: "/model/activate",
      id: "activate",
      tag: "Versions",
      summary: "Put a version into production",
      access: "admin",
      query: ModelQuery,
      body: ActivateBody,
      answers: {
        200: { description: "The active version; `changed` is false when it was active before", schema: ActiveVersion },
      },
      errors: ["NOT_FOUND", "INVALID_STATE", "INTEGRITY"],
      async handle({ query, body: { version, reason }, principal, noteTarget }) {
        noteTarget(version);
        return ok(await registry.activate(version, given({ model: query.model, actor: principal.name, reason })));
      },
    }),
    route({
      method: "post",
      path: "/model/deactivate",
      id: "deactivate",
      tag: "Versions",
      summary: "Take the active version out of production",
      access: "admin",
      query: ModelQuery,
      body: DeactivateBody,
      isBodyOptional: true,
      answers: { 200: { description: "The entry of the history", schema: ActivationRecord } },
      errors: ["NO_ACTIVE_VERSION"],
      async handle({ query, body: { reason }, principal }) {
        return ok(await registry.deactivate(given({ model: query.model, actor: principal.name, reason })));
      },
    }),
    route({
      method: "post",
      path: "/model/rollback",
      id: "rollback",
      tag: "Versions",
      summary: "Go back to the version active before",
      access: "admin",
      query: ModelQuery,
      body: RollbackBody,
      isBodyOptional: true,
      answers: { 200: { description: "The version active now", schema: ActiveVersion } },
      errors: ["NO_PREVIOUS_VERSION", "NOT_FOUND", "INVALID_STATE"],
      async handle({ query, body: { to, reason }, principal, noteTarget }) {
        if (to !== undefined) noteTarget(to);
        const active = await registry.rollback(given({ model: query.model, actor: principal.name, to, reason }));
        noteTarget(active.version);
        return ok(active);
      },
    }),
    route({
      method: "get",
      path: "/model/version/{version}",
      id: "getVersion",
      tag: "Versions",
      summary: "One version with manifest and files",
      access: "user",
      params,
      query: ModelQuery,
      answers: { 200: { description: "The version", schema: VersionDetail } },
      errors: ["NOT_FOUND", "INTEGRITY"],
      async handle({ params: { version }, query: { model } }) {
        const detail = await registry.get(version, given({ model }));
        return { ...ok(detail), headers: { etag: `"${detail.row_version}"` } };
      },
    }),
    route({
      method: "patch",
      path: "/model/version/{version}",
      id: "updateVersion",
      tag: "Versions",
      summary: "Change description, tags or aliases",
      access: "admin",
      params,
      query: ModelQuery,
      body: PatchBody,
      headers: { "if-match": "The version's row_version, in quotes" },
      answers: { 200: { description: "The version", schema: VersionDetail } },
      errors: ["NOT_FOUND", "STALE", "CONFLICT"],
      async handle({ params: { version }, query: { model }, body, request, principal, noteTarget }) {
        noteTarget(version);
        const ifMatch = parseIfMatch(request.headers.get("if-match"));
        const detail = await registry.update(version, given(body), {
          ...given({ model }),
          actor: principal.name,
          ifMatch,
        });
        return { ...ok(detail), headers: { etag: `"${detail.row_version}"` } };
      },
    }),
    route({
      method: "delete",
      path: "/model/version/{version}",
      id: "deleteVersion",
      tag: "Versions",
      summary: "Delete a version; never the active one",
      access: "admin",
      params,
      query: ModelQuery.extend({ force: Flag.optional().describe("Also when it has aliases or is a parent") }),
      answers: { 200: { description: "Deleted", schema: Done } },
      errors: ["NOT_FOUND", "VERSION_ACTIVE", "CONFLICT"],
      async handle({ params: { version }, query: { model, force }, principal, noteTarget }) {
        noteTarget(version);
        await registry.delete(version, given({ model, force, actor: principal.name }));
        return ok({ success: true, message: `Version ${version} was deleted.` });
      },
    }),
    route({
      method: "get",
      path: "/model/compare",
      id: "compareVersions",
      tag: "Versions",
      summary: "Two versions, metric by metric",
      access: "user",
      query: ModelQuery.extend({ a: VersionRef, b: VersionRef, primary: z.string().min(1).max(64).optional() }),
      answers: { 200: { description: "Differences b - a and which is better", schema: Comparison } },
      errors: ["NOT_FOUND"],
      async handle({ query: { a, b, model, primary } }) {
        return ok(await registry.compare(a, b, given({ model, primary })));
      },
    }),
    route({
      method: "get",
      path: "/model/history",
      id: "getHistory",
      tag: "Versions",
      summary: "Who activated what and when, newest first",
      access: "user",
      query: ModelQuery.extend(PageQuery),
      answers: { 200: { description: "A page of the audit trail", schema: HistoryPage } },
      async handle({ query }) {
        return ok(await registry.history(given(query)));
      },
    }),
    route({
      method: "get",
      path: "/models",
      id: "listModels",
      tag: "Versions",
      summary: "Models of this hub",
      access: "user",
      answers: { 200: { description: "Each with its active version", schema: Models } },
      async handle() {
        return ok({ models: await registry.models() });
      },
    }),
  ];
}
