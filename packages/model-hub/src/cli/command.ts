import { parseArgs } from "node:util";
import { HubError } from "../errors.js";

/** Where a command writes: results on stdout, progress and remarks on stderr. */
export interface CliIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  out(text: string): void;
  err(text: string): void;
  /** Whether stderr is a terminal: a bar is drawn there, a line per 10 % elsewhere. */
  readonly isTerminal: boolean;
  readonly signal: AbortSignal;
}

/** An option of a command, named as typed, without dashes. */
export interface CliOption {
  readonly type: "string" | "boolean";
  readonly multiple?: boolean;
  readonly help: string;
}

/** A parsed command line of `seg-hub`. */
export interface CliCall {
  readonly positional: readonly string[];
  /** A string option, or undefined. */
  text(name: string): string | undefined;
  flag(name: string): boolean;
  list(name: string): readonly string[];
  /** A whole number within bounds. */
  integer(name: string, bounds: { min: number; max: number }): number | undefined;
  readonly json: boolean;
  readonly io: CliIo;
  /** Prints `value` as one JSON document with `--json`, else the lines for people. */
  result(value: unknown, lines: readonly string[]): void;
}

/** One word pair of `seg-hub`, such as `models list`. */
export interface CliCommand {
  /** `models list` */
  readonly name: string;
  /** `<id>...`, shown after the name. */
  readonly operands?: string;
  readonly help: string;
  readonly options?: Readonly<Record<string, CliOption>>;
  /** @returns the exit status: 0 ok, 1 failure, 3 integrity failure */
  run(call: CliCall): Promise<number>;
}

/** A command line that cannot be understood: exit status 2. */
export class CliUsageError extends HubError {
  override readonly name = "CliUsageError";
  constructor(message: string) {
    super({ code: "INVALID_REQUEST", message, details: { usage: true } });
  }
}

/** Options that every command takes. */
const COMMON: Readonly<Record<string, CliOption>> = {
  json: { type: "boolean", help: "print one JSON document on stdout" },
  help: { type: "boolean", help: "explain the command" },
};

/** @throws {@link CliUsageError} */
export function parseCall(command: CliCommand, argv: readonly string[], io: CliIo): CliCall {
  const options = { ...COMMON, ...command.options };
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({
      args: [...argv],
      options: Object.fromEntries(
        Object.entries(options).map(([name, { type, multiple = false }]) => [name, { type, multiple }]),
      ),
      allowPositionals: true,
      strict: true,
    });
  } catch (error) {
    throw new CliUsageError(`${(error as Error).message} See seg-hub ${command.name} --help.`);
  }
  const { values, positionals } = parsed;
  const json = values["json"] === true;
  return callOf({
    values: values as CallValues,
    positional: positionals,
    io,
    json,
    result(value, lines) {
      if (json) io.out(`${JSON.stringify(value, null, 2)}\n`);
      else for (const line of lines) io.out(`${line}\n`);
    },
  });
}

/** Values of options by name, as they were typed. */
export type CallValues = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

/** What a command gets, for programs that parse the command line themselves. */
export function callOf({
  values,
  ...rest
}: Pick<CliCall, "positional" | "io" | "json" | "result"> & { readonly values: CallValues }): CliCall {
  const text = (name: string) => values[name] as string | undefined;
  return {
    ...rest,
    text,
    flag: (name) => values[name] === true,
    list: (name) => (values[name] as readonly string[] | undefined) ?? [],
    integer(name, { min, max }) {
      const given = text(name);
      if (given === undefined) return undefined;
      const value = Number(given);
      if (!Number.isSafeInteger(value) || value < min || value > max)
        throw new CliUsageError(`--${name} must be a whole number from ${min} to ${max}; got "${given}".`);
      return value;
    },
  };
}

/** Help text of one command. */
export function describeCommand({ name, operands = "", help, options = {} }: CliCommand): string {
  const lines = Object.entries({ ...options, ...COMMON }).map(
    ([option, { type, help: text }]) => `  --${`${option}${type === "string" ? " VALUE" : ""}`.padEnd(26)} ${text}`,
  );
  return [`seg-hub ${name}${operands === "" ? "" : ` ${operands}`}`, `  ${help}`, "", ...lines, ""].join("\n");
}
