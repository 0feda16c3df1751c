import type { Finding } from "../findings.js";

/** One line per finding. */
export const findingLines = (findings: readonly Finding[]): string =>
  findings
    .map(({ severity, code, count, message }) => `${severity.padEnd(5)} ${code} (${count}): ${message}`)
    .join("\n");
