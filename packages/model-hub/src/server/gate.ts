import { createHash } from "node:crypto";
import { HubError } from "../errors.js";
import type { AuthenticatorPort, Principal } from "../tokens/types.js";
import type { ServerLimits } from "./deps.js";
import type { RateLimiter } from "./rate-limit.js";
import type { Access } from "./route.js";

const MINUTE_MS = 60_000;
/** Credentials remembered as good at some time, so that a flood of bad ones from the same address does not lock their owners out. */
const MAX_KNOWN = 10_000;
/**
 * How long good credentials are not looked up again: reading a token costs more than most answers (0.4 of 0.7 CPU-ms). What another process
 * revokes is refused after this time; what this one revokes, at once.
 */
const TRUST_MS = 1_000;

interface Known {
  readonly principal: Principal;
  readonly checkedMs: number;
}

/** What stands before every route that needs a token. */
export interface Gate {
  enter(entry: {
    authorization: string | undefined;
    ip: string;
    access: Exclude<Access, "open">;
    /** Told who calls before role and rate are checked, for the audit log. */
    onPrincipal: (principal: Principal) => void;
  }): Promise<void>;
  /** A token was revoked: look all of them up again. */
  recheck(): void;
}

const tooMany = (message: string, retryAfterMs: number): HubError =>
  new HubError({ code: "RATE_LIMITED", message, details: { retry_after_s: Math.ceil(retryAfterMs / 1000) } });

/**
 * Lets a request in: bearer credentials, limit of refused credentials per address, role, limit of requests per token.
 *
 * An address with too many refusals is answered 429 without a look at what it sends, unless it sends credentials that were good before in
 * this process: behind a proxy or NAT all clients share an address, and one of them must not shut out the others. What is known is looked up
 * again after a second, so revocation and expiry hold.
 */
export function createGate({
  authenticator,
  rateLimiter,
  limits,
  now,
}: {
  authenticator: AuthenticatorPort;
  rateLimiter: RateLimiter;
  limits: ServerLimits;
  now: () => number;
}): Gate {
  const failures = { max: limits.failedAuthsPerMinute, windowMs: MINUTE_MS };
  const requests = { max: limits.requestsPerMinute, windowMs: MINUTE_MS };
  /** By SHA-256 of the credentials, oldest look-up first. */
  const known = new Map<string, Known>();

  const refuse = async (ip: string, error: unknown): Promise<never> => {
    const { allowed, retryAfterMs } = await rateLimiter.take(`auth:${ip}`, failures);
    if (!allowed) throw tooMany("Too many refused credentials from this address.", retryAfterMs);
    throw error;
  };

  const identify = async (bearer: string, ip: string): Promise<Principal> => {
    const digest = createHash("sha256").update(bearer).digest("base64");
    const before = known.get(digest);
    const at = now();
    if (before !== undefined && at - before.checkedMs < TRUST_MS) return before.principal;
    if (before === undefined) {
      const { allowed, retryAfterMs } = await rateLimiter.peek(`auth:${ip}`, failures);
      if (!allowed) throw tooMany("Too many refused credentials from this address.", retryAfterMs);
    }
    known.delete(digest);
    try {
      const principal = await authenticator.authenticate(bearer);
      known.set(digest, { principal, checkedMs: at });
      if (known.size > MAX_KNOWN) known.delete(known.keys().next().value!);
      return principal;
    } catch (error) {
      if (!(HubError.isInstance(error) && error.code === "UNAUTHENTICATED")) throw error;
      return refuse(ip, error);
    }
  };

  return {
    recheck() {
      // They stay known as good at some time; they are no longer trusted.
      for (const [digest, { principal }] of known)
        known.set(digest, { principal, checkedMs: Number.NEGATIVE_INFINITY });
    },
    async enter({ authorization, ip, access, onPrincipal }) {
      const bearer = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
      if (bearer === undefined) {
        // No credentials are no guess: they cost nothing to refuse and are not counted.
        if (authorization === undefined) {
          throw new HubError({
            code: "UNAUTHENTICATED",
            message:
              'Send a token in the header Authorization, after the word "Bearer" (seg-hub tokens create makes one).',
          });
        }
        return refuse(ip, new HubError({ code: "UNAUTHENTICATED", message: "Authorization must be: Bearer TOKEN." }));
      }
      const principal = await identify(bearer, ip);
      onPrincipal(principal);
      if (Number.isFinite(requests.max)) {
        const key = `token:${principal.kind}:${principal.id}`;
        const { allowed, retryAfterMs } = await rateLimiter.take(key, requests);
        if (!allowed) throw tooMany(`More than ${requests.max} requests a minute with this token.`, retryAfterMs);
      }
      if (access === "admin" && principal.role !== "admin") {
        throw new HubError({ code: "FORBIDDEN", message: "This needs a token with role admin." });
      }
    },
  };
}
