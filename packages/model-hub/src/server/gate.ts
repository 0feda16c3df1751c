import { createHash } from "node:crypto";
import { HubError } from "../errors.js";
import type { AuthenticatorPort, Principal } from "../tokens/types.js";
import type { ServerLimits } from "./deps.js";
import type { RateLimiter } from "./rate-limit.js";
import type { Access } from "./route.js";

const MINUTE_MS = 60_000;
/** Credentials remembered as good at some time, so that a flood of bad ones from the same address does not lock their owners out. */
const MAX_KNOWN = 10_000;

const tooMany = (message: string, retryAfterMs: number): HubError =>
  new HubError({ code: "RATE_LIMITED", message, details: { retry_after_s: Math.ceil(retryAfterMs / 1000) } });

/**
 * Lets a request in: bearer credentials, limit of refused credentials per address, role, limit of requests per token.
 *
 * An address with too many refusals is answered 429 without a look at what it sends, unless it sends credentials that were good before in
 * this process: behind a proxy or NAT all clients share an address, and one of them must not shut out the others. Revocation and expiry
 * still hold at once: known credentials are looked up like any others.
 */
export function gate({
  authenticator,
  rateLimiter,
  limits,
}: {
  authenticator: AuthenticatorPort;
  rateLimiter: RateLimiter;
  limits: ServerLimits;
}): (entry: {
  authorization: string | undefined;
  ip: string;
  access: Exclude<Access, "open">;
  /** Told who calls before role and rate are checked, for the audit log. */
  onPrincipal: (principal: Principal) => void;
}) => Promise<void> {
  const failures = { max: limits.failedAuthsPerMinute, windowMs: MINUTE_MS };
  const requests = { max: limits.requestsPerMinute, windowMs: MINUTE_MS };
  /** SHA-256 of credentials, oldest use first. */
  const known = new Set<string>();

  const refuse = async (ip: string, error: unknown): Promise<never> => {
    const { allowed, retryAfterMs } = await rateLimiter.take(`auth:${ip}`, failures);
    if (!allowed) throw tooMany("Too many refused credentials from this address.", retryAfterMs);
    throw error;
  };

  return async ({ authorization, ip, access, onPrincipal }) => {
    const bearer = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
    if (bearer === undefined) {
      // No credentials are no guess: they cost nothing to refuse and are not counted.
      if (authorization === undefined) {
        throw new HubError({
          code: "UNAUTHENTICATED",
          message: "Send a token: Authorization: Bearer segh_... (seg-hub tokens create makes one).",
        });
      }
      return refuse(ip, new HubError({ code: "UNAUTHENTICATED", message: "Authorization must be: Bearer TOKEN." }));
    }
    const digest = createHash("sha256").update(bearer).digest("base64");
    if (!known.has(digest)) {
      const { allowed, retryAfterMs } = await rateLimiter.peek(`auth:${ip}`, failures);
      if (!allowed) throw tooMany("Too many refused credentials from this address.", retryAfterMs);
    }
    let principal: Principal;
    try {
      principal = await authenticator.authenticate(bearer);
    } catch (error) {
      if (!(HubError.isInstance(error) && error.code === "UNAUTHENTICATED")) throw error;
      known.delete(digest);
      return refuse(ip, error);
    }
    known.delete(digest);
    known.add(digest);
    if (known.size > MAX_KNOWN) known.delete(known.values().next().value!);
    onPrincipal(principal);
    const { allowed, retryAfterMs } = await rateLimiter.take(`token:${principal.kind}:${principal.id}`, requests);
    if (!allowed) throw tooMany(`More than ${requests.max} requests a minute with this token.`, retryAfterMs);
    if (access === "admin" && principal.role !== "admin") {
      throw new HubError({ code: "FORBIDDEN", message: "This needs a token with role admin." });
    }
  };
}
