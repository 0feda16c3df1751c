import { z } from "zod";
import { HubError } from "../../errors.js";
import type { AppDeps } from "../deps.js";
import { ok, type Route, route } from "../route.js";
import { Caller, CreatedToken, CreateTokenBody, Token, Tokens } from "../schemas/tokens.js";

export function tokenRoutes({
  tokens,
  now = Date.now,
  onRevoked,
}: Pick<AppDeps, "tokens" | "now"> & { onRevoked: () => void }): Route[] {
  return [
    route({
      method: "get",
      path: "/me",
      id: "whoAmI",
      tag: "Tokens",
      summary: "Whose token this is",
      access: "user",
      answers: { 200: { description: "Name and role", schema: Caller } },
      async handle({ principal: { name, role } }) {
        return ok({ name, role });
      },
    }),
    route({
      method: "get",
      path: "/tokens",
      id: "listTokens",
      tag: "Tokens",
      summary: "Tokens, without their secrets",
      access: "admin",
      answers: { 200: { description: "Tokens", schema: Tokens } },
      async handle() {
        return ok({ tokens: await tokens.list() });
      },
    }),
    route({
      method: "post",
      path: "/tokens",
      id: "createToken",
      tag: "Tokens",
      summary: "A new token; its secret is in this answer only",
      access: "admin",
      body: CreateTokenBody,
      answers: { 201: { description: "The token with its secret", schema: CreatedToken } },
      async handle({ body: { name, role, expires_at }, principal, noteTarget }) {
        const expires = expires_at ? new Date(expires_at) : null;
        if (expires !== null && expires.getTime() <= now()) {
          throw new HubError({
            code: "INVALID_REQUEST",
            message: `expires_at ${expires.toISOString()} lies in the past. Give a later instant or leave it out.`,
            details: { issues: [{ path: "body.expires_at", message: "must lie in the future" }] },
          });
        }
        const created = await tokens.create({
          name,
          role,
          expires_at: expires?.toISOString() ?? null,
          created_by: principal.name,
        });
        noteTarget(created.id);
        return { status: 201, json: created };
      },
    }),
    route({
      method: "delete",
      path: "/tokens/{id}",
      id: "revokeToken",
      tag: "Tokens",
      summary: "Revoke a token at once",
      access: "admin",
      params: z.strictObject({ id: z.string().regex(/^[A-Za-z0-9._-]{1,128}$/, "name a token") }),
      answers: { 200: { description: "The token, revoked", schema: Token } },
      errors: ["NOT_FOUND"],
      async handle({ params: { id }, noteTarget }) {
        noteTarget(id);
        const token = await tokens.revoke(id);
        onRevoked();
        return ok(token);
      },
    }),
  ];
}
