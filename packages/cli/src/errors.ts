const brand = Symbol.for("@seg/error");

/** Wrong use of the command line: exit code 2. */
export class UsageError extends Error {
  readonly [brand] = true;
  override readonly name = "UsageError";
  readonly code = "cli/usage";
}

/** A result that must not be passed on (a failed gate, unusable data): exit code 1 unless it says another. */
export class CommandError extends Error {
  readonly [brand] = true;
  override readonly name = "CommandError";
  readonly code: string;
  /** What the process ends with; 3 is for artefacts that are not what they claim to be. @defaultValue 1 */
  readonly exitCode: number;
  constructor({ code, message, exitCode = 1 }: { code: string; message: string; exitCode?: number }) {
    super(message);
    this.code = code;
    this.exitCode = exitCode;
  }
}

/** The exit code of a failure: see `EXIT_CODES`. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return 2;
  if (error instanceof CommandError) return error.exitCode;
  // A model of the hub whose bytes are not those of its checksum.
  const { code } = (typeof error === "object" && error !== null ? error : {}) as { code?: unknown };
  return code === "INTEGRITY" ? 3 : 1;
}
