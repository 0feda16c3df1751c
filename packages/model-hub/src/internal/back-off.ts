/** Seconds before the next attempt: 1, 2, 4, 8, 16, ... up to `maxS`, times a factor of 0.8-1.2 so that many clients do not return at once. */
export function backOffMs(attempt: number, random: () => number, maxS = 16): number {
  return Math.min(maxS, 2 ** attempt) * 1000 * (0.8 + 0.4 * random());
}

/** Milliseconds that a `Retry-After` header asks for (seconds or a date), or null. Waits above an hour are not honoured. */
export function retryAfterMs(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - nowMs;
  return Number.isFinite(ms) && ms >= 0 && ms <= 3_600_000 ? ms : null;
}
