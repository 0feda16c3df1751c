import type { Finding } from "../findings.js";

/** One option as typed, without dashes. */
export interface CliOption {
  /** `number`: finite. */
  readonly type: "string" | "boolean" | "number";
  readonly help: string;
  readonly required?: boolean;
}

export type CliValues = Readonly<Record<string, string | boolean | number | undefined>>;

/** What a command found. */
export interface CliOutcome {
  /** For people. */
  readonly text: string;
  /** For machines: the one line of `--json`. */
  readonly json: unknown;
  /** Decide the exit code. */
  readonly findings: readonly Finding[];
}

/** A command of `seg-coco`. */
export interface CliCommand {
  readonly summary: string;
  /** Names of the positional arguments, all required. */
  readonly positional: readonly string[];
  readonly options: Readonly<Record<string, CliOption>>;
  run(input: { readonly positional: readonly string[]; readonly values: CliValues }): Promise<CliOutcome>;
}
