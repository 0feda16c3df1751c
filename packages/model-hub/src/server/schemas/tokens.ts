import { z } from "zod";
import { component, Instant } from "./common.js";

const fields = {
  id: z.string(),
  name: z.string(),
  role: z.enum(["user", "admin"]),
  created_at: Instant,
  created_by: z.string().nullable(),
  expires_at: Instant.nullable(),
  revoked_at: Instant.nullable(),
  last_used_at: Instant.nullable(),
};

export const Token = component("Token", z.object(fields));
export const Tokens = component("Tokens", z.object({ tokens: z.array(Token) }));
export const CreatedToken = component(
  "CreatedToken",
  z.object({ ...fields, token: z.string().describe("Shown this once") }),
);
export const CreateTokenBody = component(
  "CreateTokenRequest",
  z.strictObject({
    name: z.string().min(1).max(128),
    role: z.enum(["user", "admin"]),
    expires_at: z.iso.datetime({ offset: true }).nullish().describe("Default: never"),
  }),
);

export const Caller = component("Caller", z.object({ name: z.string(), role: z.enum(["user", "admin"]) }));
