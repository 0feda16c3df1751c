import { UsageError } from "./errors.js";

/** One option of a command. Names are as typed, without dashes. */
export interface OptionSpec {
  readonly type: "string" | "number" | "boolean" | "list";
  readonly help: string;
  readonly required?: boolean;
  readonly fallback?: string | number | boolean;
  /** Other spellings that are accepted. */
  readonly aliases?: readonly string[];
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;
export type OptionValues = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** Edit distance, for "did you mean". */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

/** The known name nearest to a mistyped one. */
export function nearest(name: string, known: readonly string[]): string | null {
  const sorted = known.map((k) => ({ k, d: distance(name, k) })).sort((x, y) => x.d - y.d);
  return sorted[0] && sorted[0].d <= Math.max(2, name.length / 3) ? sorted[0].k : null;
}

/**
 * Parses `--name value`, `--name=value`, flags and positional arguments against `specs`.
 * @throws {@link UsageError} on an unknown option (naming the nearest), a missing value or a number that is none
 */
export function parseArguments(
  argv: readonly string[],
  specs: OptionSpecs,
): { values: OptionValues; positional: string[] } {
  const canonical = new Map<string, string>();
  for (const [name, spec] of Object.entries(specs)) {
    canonical.set(name, name);
    for (const alias of spec.aliases ?? []) canonical.set(alias, name);
  }
  const values: Record<string, string | number | boolean | readonly string[] | undefined> = {};
  const positional: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (!word.startsWith("--")) {
      positional.push(word);
      continue;
    }
    const equals = word.indexOf("=");
    const typed = word.slice(2, equals < 0 ? undefined : equals);
    const name = canonical.get(typed);
    if (name === undefined) {
      const hint = nearest(typed, [...canonical.keys()]);
      throw new UsageError(`Unknown option --${typed}.${hint === null ? "" : ` Did you mean --${hint}?`} See --help.`);
    }
    const spec = specs[name]!;
    if (spec.type === "boolean") {
      const given = equals < 0 ? "true" : word.slice(equals + 1);
      if (given !== "true" && given !== "false") throw new UsageError(`--${typed} is true or false, got "${given}".`);
      values[name] = given === "true";
      continue;
    }
    const read = (): string => {
      if (equals >= 0) return word.slice(equals + 1);
      const next = argv[i + 1];
      if (next === undefined || next.startsWith("--")) throw new UsageError(`--${typed} needs a value.`);
      i++;
      return next;
    };
    if (spec.type === "list") {
      const list = [read()];
      while (equals < 0 && argv[i + 1] !== undefined && !argv[i + 1]!.startsWith("--")) list.push(argv[++i]!);
      values[name] = list.flatMap((entry) => entry.split(",")).filter((entry) => entry !== "");
      continue;
    }
    const text = read();
    if (spec.type === "number") {
      const number = Number(text);
      if (text.trim() === "" || !Number.isFinite(number))
        throw new UsageError(`--${typed} is a number, got "${text}".`);
      values[name] = number;
    } else {
      values[name] = text;
    }
  }
  for (const [name, spec] of Object.entries(specs)) {
    if (values[name] === undefined && spec.fallback !== undefined) values[name] = spec.fallback;
    if (values[name] === undefined && spec.required) throw new UsageError(`--${name} is required: ${spec.help}`);
  }
  return { values, positional };
}

/** Help text of one command. */
export function describeOptions(specs: OptionSpecs): string {
  return Object.entries(specs)
    .map(([name, spec]) => {
      const fallback = spec.fallback === undefined ? "" : ` [${spec.fallback}]`;
      return `  --${name.padEnd(20)} ${spec.help}${fallback}${spec.required ? " (required)" : ""}`;
    })
    .join("\n");
}
