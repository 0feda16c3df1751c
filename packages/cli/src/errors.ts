const brand = Symbol.for("@seg/error");

/** Wrong use of the command line: exit code 2. */
export class UsageError extends Error {
  readonly [brand] = true;
  override readonly name = "UsageError";
  readonly code = "cli/usage";
}

/** A result that must not be passed on (a failed gate, unusable data): exit code 1. */
export class CommandError extends Error {
  readonly [brand] = true;
  override readonly name = "CommandError";
  readonly code: string;
  constructor({ code, message }: { code: string; message: string }) {
    super(message);
    this.code = code;
  }
}
