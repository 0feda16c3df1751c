import { parseArgs } from "node:util";
import { SegError } from "../errors.js";
import type { Severity } from "../findings.js";
import type { CliCommand, CliOption, CliValues } from "./command.js";
import { COMMANDS } from "./commands.js";
import { CliUsageError } from "./errors.js";

/** Exit codes: nothing at or above `--fail-on`; something was; the command line or a file is at fault. */
export const EXIT = { clean: 0, findings: 1, fault: 2 } as const;

const RANK: Readonly<Record<Severity, number>> = { info: 0, warn: 1, error: 2 };

const COMMON: Readonly<Record<string, CliOption>> = {
  json: { type: "boolean", help: "one line of JSON instead of text" },
  "fail-on": { type: "string", help: "info, warn or error: exit 1 from there on; error without it" },
  help: { type: "boolean", help: "this text" },
};

/**
 * `seg-coco COMMAND ...`: the data functions of this package from the command line.
 *
 * @returns the exit code, one of {@link EXIT}
 */
export async function main(
  argv: readonly string[],
  { out, err }: { out: (text: string) => void; err: (text: string) => void },
): Promise<number> {
  try {
    const [name, ...rest] = argv;
    if (name === undefined || name === "--help" || name === "help") {
      out(overview());
      return name === undefined ? EXIT.fault : EXIT.clean;
    }
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name]! : null;
    if (command === null) {
      throw new CliUsageError(`Unknown command "${name}". Known: ${Object.keys(COMMANDS).join(", ")}.`);
    }
    const { values, positional } = parse(rest, { ...command.options, ...COMMON });
    if (values["help"] === true) {
      out(describe(name, command));
      return EXIT.clean;
    }
    const failOn = severityOf(values["fail-on"] ?? "error");
    checkArguments(name, command, { values, positional });
    const { text, json, findings } = await command.run({ positional, values });
    out(values["json"] === true ? JSON.stringify(json) : text);
    return findings.some(({ severity }) => RANK[severity] >= RANK[failOn]) ? EXIT.findings : EXIT.clean;
  } catch (error) {
    // Faults of the data, the command line and the file system are told in one line; anything else is ours and keeps its stack.
    const isKnown = SegError.isInstance(error) || (error as NodeJS.ErrnoException | null)?.code !== undefined;
    err(isKnown ? `error: ${(error as Error).message}` : String((error as Error | null)?.stack ?? error));
    return EXIT.fault;
  }
}

function severityOf(value: string | boolean | number): Severity {
  if (value === "info" || value === "warn" || value === "error") return value;
  throw new CliUsageError(`--fail-on takes info, warn or error, got "${value}".`);
}

function parse(
  words: readonly string[],
  options: Readonly<Record<string, CliOption>>,
): { values: CliValues; positional: string[] } {
  const specs = Object.fromEntries(
    Object.entries(options).map(([name, { type }]) => [
      name,
      { type: type === "boolean" ? "boolean" : "string" } as const,
    ]),
  );
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({ args: [...words], options: specs, allowPositionals: true, strict: true });
  } catch (cause) {
    throw new CliUsageError(
      `${(cause as Error).message} Known options: ${Object.keys(options)
        .map((o) => `--${o}`)
        .join(", ")}.`,
      { cause },
    );
  }
  const values: Record<string, string | boolean | number> = {};
  for (const [name, value] of Object.entries(parsed.values)) {
    if (options[name]!.type !== "number") values[name] = value as string | boolean;
    else {
      const number = Number(value);
      if (value === "" || !Number.isFinite(number))
        throw new CliUsageError(`--${name} takes a number, got "${value}".`);
      values[name] = number;
    }
  }
  return { values, positional: parsed.positionals };
}

function checkArguments(
  name: string,
  { positional: wanted, options }: CliCommand,
  { values, positional }: { values: CliValues; positional: readonly string[] },
): void {
  if (positional.length !== wanted.length) {
    throw new CliUsageError(
      `seg-coco ${name} takes ${wanted.join(" ")}, got ${positional.length} arguments. See seg-coco ${name} --help.`,
    );
  }
  const missing = Object.entries(options).find(
    ([option, { required }]) => required === true && values[option] === undefined,
  );
  if (missing !== undefined) throw new CliUsageError(`--${missing[0]} is missing: ${missing[1].help}.`);
}

function overview(): string {
  const list = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(9)} ${summary}`);
  return `seg-coco COMMAND ... [options]\n\n${list.join("\n")}\n\nseg-coco COMMAND --help shows the options. Exit 0: clean, 1: findings at or above --fail-on, 2: usage or files.`;
}

function describe(name: string, { summary, positional, options }: CliCommand): string {
  const list = Object.entries({ ...options, ...COMMON }).map(
    ([option, { help, type }]) => `  --${option}${type === "boolean" ? "" : ` ${type.toUpperCase()}`}  ${help}`,
  );
  return `seg-coco ${name} ${positional.join(" ")} [options]\n${summary}\n\n${list.join("\n")}`;
}
