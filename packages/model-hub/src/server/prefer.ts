/** What a `Prefer` header asks (RFC 7240). */
export interface Preference {
  readonly respondAsync: boolean;
  /** Seconds the client would wait; null when it does not say. */
  readonly waitS: number | null;
}

export function parsePrefer(header: string | null): Preference {
  const parts = (header ?? "").split(/[,;]/).map((part) => part.trim().toLowerCase());
  const wait = parts.map((part) => /^wait\s*=\s*"?(\d{1,6})"?$/.exec(part)?.[1]).find((s) => s !== undefined);
  return { respondAsync: parts.includes("respond-async"), waitS: wait === undefined ? null : Number(wait) };
}
