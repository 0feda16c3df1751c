import { distance } from "fastest-levenshtein";
import { UsageError } from "./errors.js";

/** One option of a command. Names are as typed, without dashes. */
export interface OptionSpec {
  readonly type: "string" | "number" | "boolean" | "list";
  readonly help: string;
  readonly required?: boolean;
  readonly fallback?: string | number | boolean;
  /** Other spellings that are accepted. */
  readonly aliases?: readonly string[];
  /** What a number may be; checked before the command starts. */
  readonly range?: NumberRange;
}

/** Bounds of a number. */
export interface NumberRange {
  /** No fraction. */
  readonly integer?: boolean;
  readonly min?: number;
  readonly max?: number;
  /** Exclusive bounds. */
  readonly above?: number;
  readonly below?: number;
  readonly multipleOf?: number;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;
export type OptionValues = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** "a whole number, at least 1". */
function describeRange({ integer = false, min, max, above, below, multipleOf }: NumberRange): string {
  const kind = multipleOf === undefined ? (integer ? "a whole number" : "a number") : `a multiple of ${multipleOf}`;
  const bounds = [
    ...(min === undefined ? [] : [`at least ${min}`]),
    ...(above === undefined ? [] : [`above ${above}`]),
    ...(max === undefined ? [] : [`at most ${max}`]),
    ...(below === undefined ? [] : [`below ${below}`]),
  ];
  return [kind, bounds.join(" and ")].filter((part) => part !== "").join(", ");
}

function isInRange(
  value: number,
  { integer = false, min = -Infinity, max = Infinity, above = -Infinity, below = Infinity, multipleOf }: NumberRange,
): boolean {
  if (!Number.isFinite(value) || (integer && !Number.isSafeInteger(value))) return false;
  if (value < min || value > max || value <= above || value >= below) return false;
  return multipleOf === undefined || value % multipleOf === 0;
}

/** The known name nearest to a mistyped one. */
export function nearest(name: string, known: readonly string[]): string | null {
  const sorted = known.map((k) => ({ k, d: distance(name, k) })).sort((x, y) => x.d - y.d);
  return sorted[0] && sorted[0].d <= Math.max(2, name.length / 3) ? sorted[0].k : null;
}

/**
 * Parses `--name value`, `--name=value`, flags (`--name`, `--name false`) and positional arguments against `specs`; what follows `--` is
 * positional.
 * @throws {@link UsageError} on an unknown option (naming the nearest), a missing value or a number that is none or out of range
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
    if (word === "--") {
      positional.push(...argv.slice(i + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      positional.push(word);
      continue;
    }
    const dashes = word.startsWith("--") ? "--" : "-";
    const equals = word.indexOf("=");
    const typed = word.slice(dashes.length, equals < 0 ? undefined : equals);
    const name = dashes === "--" ? canonical.get(typed) : undefined;
    if (name === undefined) {
      const hint = nearest(typed, [...canonical.keys()]);
      const meant = hint === null ? "" : ` Did you mean --${hint}?`;
      throw new UsageError(`Unknown option ${dashes}${typed}.${meant} See --help.`);
    }
    const spec = specs[name]!;
    if (spec.type === "boolean") {
      const next = argv[i + 1];
      const isSpaced = equals < 0 && (next === "true" || next === "false");
      if (isSpaced) i++;
      const given = isSpaced ? next : equals < 0 ? "true" : word.slice(equals + 1);
      if (given !== "true" && given !== "false") throw new UsageError(`--${typed} is true or false, got "${given}".`);
      values[name] = given === "true";
      continue;
    }
    const missing = () => new UsageError(`--${typed} needs a value: ${spec.help}.`);
    const read = (): string => {
      const given = equals >= 0 ? word.slice(equals + 1) : argv[i + 1];
      if (given === undefined || given.trim() === "" || (equals < 0 && given.startsWith("--"))) throw missing();
      if (equals < 0) i++;
      return given;
    };
    if (spec.type === "list") {
      const list = [read()];
      while (equals < 0 && argv[i + 1] !== undefined && !argv[i + 1]!.startsWith("--")) list.push(argv[++i]!);
      const entries = list.flatMap((entry) => entry.split(",")).filter((entry) => entry !== "");
      if (entries.length === 0) throw missing();
      values[name] = entries;
      continue;
    }
    const text = read();
    if (spec.type === "number") {
      const number = Number(text);
      const range = spec.range ?? {};
      if (!isInRange(number, range)) {
        throw new UsageError(`--${typed} must be ${describeRange(range)}; got "${text}".`);
      }
      values[name] = number;
    } else {
      values[name] = text;
    }
  }
  for (const [name, spec] of Object.entries(specs)) {
    if (values[name] === undefined && spec.fallback !== undefined) values[name] = spec.fallback;
    if (values[name] === undefined && spec.required) throw new UsageError(`--${name} is required: ${spec.help}.`);
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
