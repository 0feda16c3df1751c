import { HubError } from "../errors.js";
import type { FileDigests } from "./file-digester.js";

/** What a file must be. Null where nobody said. */
export interface Expectation {
  readonly bytes: number | null;
  readonly sha256: string | null;
  readonly md5: string | null;
  readonly gitSha1: string | null;
}

/** Whether any digest can prove the content. */
export const hasDigest = ({ sha256, md5, gitSha1 }: Expectation): boolean =>
  sha256 !== null || md5 !== null || gitSha1 !== null;

/** First difference between what came and what was expected, or null. */
export function findMismatch(
  expected: Expectation,
  actual: FileDigests & { bytes: number },
): { what: "bytes" | "sha256" | "md5" | "gitSha1"; expected: string | number; actual: string | number | null } | null {
  if (expected.bytes !== null && expected.bytes !== actual.bytes)
    return { what: "bytes", expected: expected.bytes, actual: actual.bytes };
  for (const what of ["sha256", "md5", "gitSha1"] as const) {
    const wanted = expected[what]?.toLowerCase() ?? null;
    if (wanted !== null && wanted !== actual[what]) return { what, expected: wanted, actual: actual[what] };
  }
  return null;
}

export function integrityError(name: string, mismatch: NonNullable<ReturnType<typeof findMismatch>>): HubError {
  return new HubError({
    code: "INTEGRITY",
    message: `${name} has ${mismatch.what} ${mismatch.actual}, expected ${mismatch.expected}. It was deleted, nothing was published; the source is damaged, was changed, or something between altered it.`,
    details: { file: name, ...mismatch },
  });
}
