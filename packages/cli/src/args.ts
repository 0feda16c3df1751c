import { UsageError } from "./errors.js";
import { didYouMean, optionNames } from "./option-names.js";

/** One option of a command. Names are as typed, without dashes. */
export interface OptionSpec {
  readonly type: "string" | "number" | "boolean" | "list";
  readonly help: string;
  readonly required?: boolean;
  readonly fallback?: string | number | boolean;
  /** Other names that are accepted. Spellings (`batch_size`, `batchSize`, `lora_r` for `lora.r`) need none. */
  readonly aliases?: readonly string[];
  /** What a number may be; checked before the command starts. */
  readonly range?: NumberRange;
  /** The only values of a word, or of each entry of a list; checked before the command starts, shown by help and completion. */
  readonly choices?: readonly string[];
  /** What holds where nobody gives a value, in words or as the package behind has it; shown, never passed on. */
  readonly usual?: string | number;
  /** The value is a path: what completion offers. */
  readonly path?: "file" | "folder";
  /** Heading under which help lists the option. */
  readonly group?: string;
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

/** The options of a command by name. */
export type OptionSpecs = Readonly<Record<string, OptionSpec>>;
/** What an option can hold. */
export type OptionValue = string | number | boolean | readonly string[];
/** Values of options by name; undefined for one that nobody gave. */
export type OptionValues = Readonly<Record<string, OptionValue | undefined>>;

/** "a whole number, at least 1". */
export function describeRange({ integer = false, min, max, above, below, multipleOf }: NumberRange): string {
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

/** @throws {@link UsageError} unless a word is one of the choices, naming the nearest */
function checkChoice(typed: string, value: string, choices: readonly string[] | undefined): void {
  if (choices === undefined || choices.includes(value)) return;
  const known = choices.length === 1 ? choices[0] : `one of ${choices.join(", ")}`;
  throw new UsageError(`--${typed} is ${known}; got "${value}".${didYouMean(value, choices)}`);
}

/** The option that a word names, and what stands behind its `=`. */
function readName(
  word: string,
  specs: OptionSpecs,
  names: ReturnType<typeof optionNames>,
): { name: string; typed: string; inline: string | null; isNegated: boolean } {
  const dashes = word.startsWith("--") ? "--" : "-";
  const equals = word.indexOf("=");
  const typed = word.slice(dashes.length, equals < 0 ? undefined : equals);
  const inline = equals < 0 ? null : word.slice(equals + 1);
  const name = dashes === "--" ? names.find(typed) : undefined;
  if (name !== undefined) return { name, typed, inline, isNegated: false };
  const negated =
    dashes === "--" && typed.startsWith("no-") && inline === null ? names.find(typed.slice(3)) : undefined;
  if (negated !== undefined && specs[negated]!.type === "boolean") {
    return { name: negated, typed, inline, isNegated: true };
  }
  throw new UsageError(
    `Unknown option ${dashes}${typed}.${didYouMean(typed, names.known, (hint) => `--${hint}`)} See --help.`,
  );
}

/**
 * Reads `--name value`, `--name=value`, flags (`--name`, `--name false`, `--no-name`) and positional arguments against `specs`, without
 * defaults; what follows `--` is positional. Dashes, underscores and capitals in names are one: `--batch-size`, `--batch_size`, `--batchSize`.
 *
 * @param namespace - prefix that the options may carry
 * @throws {@link UsageError} on an unknown option (naming the nearest), a missing value, a number that is none or out of range, or a word
 *   that is none of the choices
 */
export function parseWords(
  argv: readonly string[],
  specs: OptionSpecs,
  { namespace }: { namespace?: string | undefined } = {},
): { given: OptionValues; positional: string[] } {
  const names = optionNames(specs, namespace);
  const given: Record<string, OptionValue> = {};
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
    const { name, typed, inline, isNegated } = readName(word, specs, names);
    const spec = specs[name]!;
    if (spec.type === "boolean") {
      const next = argv[i + 1];
      const isSpaced = inline === null && !isNegated && (next === "true" || next === "false");
      if (isSpaced) i++;
      const text = isSpaced ? next : (inline ?? String(!isNegated));
      if (text !== "true" && text !== "false") throw new UsageError(`--${typed} is true or false, got "${text}".`);
      given[name] = text === "true";
      continue;
    }
    const missing = () => new UsageError(`--${typed} needs a value: ${spec.help}.`);
    const read = (): string => {
      const text = inline ?? argv[i + 1];
      if (text === undefined || text.trim() === "" || (inline === null && text.startsWith("--"))) throw missing();
      if (inline === null) i++;
      return text;
    };
    if (spec.type === "list") {
      const list = [read()];
      while (inline === null && argv[i + 1] !== undefined && !argv[i + 1]!.startsWith("--")) list.push(argv[++i]!);
      const entries = list.flatMap((entry) => entry.split(",")).filter((entry) => entry !== "");
      if (entries.length === 0) throw missing();
      for (const entry of entries) checkChoice(typed, entry, spec.choices);
      // `--tag a --tag b` is `--tag a b`.
      given[name] = [...((given[name] as readonly string[] | undefined) ?? []), ...entries];
      continue;
    }
    const text = read();
    if (spec.type === "number") {
      const number = Number(text);
      const range = spec.range ?? {};
      if (!isInRange(number, range)) {
        throw new UsageError(`--${typed} must be ${describeRange(range)}; got "${text}".`);
      }
      given[name] = number;
    } else {
      checkChoice(typed, text, spec.choices);
      given[name] = text;
    }
  }
  return { given, positional };
}

/** Options as the words that {@link parseWords} reads back. */
export const wordsOf = (values: OptionValues): string[] =>
  Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}=${Array.isArray(value) ? value.join(",") : String(value)}`],
  );

/** @throws {@link UsageError} naming the first required option that has no value */
export function checkRequired(values: OptionValues, specs: OptionSpecs): void {
  for (const [name, { required, help }] of Object.entries(specs)) {
    if (required && values[name] === undefined) throw new UsageError(`--${name} is required: ${help}.`);
  }
}

/** {@link parseWords}, then defaults, then what is required. */
export function parseArguments(
  argv: readonly string[],
  specs: OptionSpecs,
): { values: OptionValues; positional: string[] } {
  const { given, positional } = parseWords(argv, specs);
  const values: Record<string, OptionValue | undefined> = { ...given };
  for (const [name, { fallback }] of Object.entries(specs)) {
    if (values[name] === undefined && fallback !== undefined) values[name] = fallback;
  }
  checkRequired(values, specs);
  return { values, positional };
}
