import { checkRequired, type OptionSpecs, type OptionValue, type OptionValues, parseWords, wordsOf } from "./args.js";
import { configFileArguments } from "./config-file.js";
import { UsageError } from "./errors.js";

/** Who set a value; a later one wins over an earlier one. */
export const ORIGINS = ["default", "data", "config file", "command line"] as const;
/** Where the value of an option comes from. */
export type Origin = (typeof ORIGINS)[number];

/** One value of a resolved configuration. */
export interface Setting {
  readonly name: string;
  readonly value: OptionValue;
  readonly origin: Origin;
  /** The file, or the reason of a choice; null where the origin says it all. */
  readonly why: string | null;
}

/** A value that follows from the data, with the reason in words. */
export interface DecidedValue {
  readonly value: OptionValue;
  readonly why: string;
}

/** The options of one run of a command, with the origin of each. */
export interface ResolvedConfig {
  readonly values: OptionValues;
  readonly positional: readonly string[];
  /**
   * In the order of the options, with what usually holds where nobody gave a value; those without either are left out, as are the ones that
   * say how a command is run.
   */
  settings(): readonly Setting[];
  origin(name: string): Origin | null;
  /** Notes a value that the command took from the data because nobody set it: for the record, {@link ResolvedConfig.values} stays as it is. */
  note(name: string, decided: DecidedValue): void;
}

/** Options that say how a command is run, not what it does: never part of a saved configuration. */
export const RUN_OPTIONS: ReadonlySet<string> = new Set(["json", "quiet", "help", "config", "resume", "dry-run"]);

/**
 * Defaults, then what follows from the data, then the file of `--config`, then the command line: one validated configuration.
 *
 * @param decided - values that somebody derived from the data before the command runs
 * @throws {@link UsageError} for whatever {@link parseWords} refuses, in the file by its path, and for a required option without a value
 */
export function resolveConfig({
  argv,
  specs,
  namespace,
  decided = {},
}: {
  argv: readonly string[];
  specs: OptionSpecs;
  namespace?: string | undefined;
  decided?: Readonly<Record<string, DecidedValue>>;
}): ResolvedConfig {
  const values: Record<string, OptionValue | undefined> = {};
  const origins = new Map<string, { origin: Origin; why: string | null }>();
  const take = (given: OptionValues, origin: Origin, why: (name: string) => string | null = () => null) => {
    for (const [name, value] of Object.entries(given)) {
      if (value === undefined) continue;
      values[name] = value;
      origins.set(name, { origin, why: why(name) });
    }
  };
  const { given, positional } = parseWords(argv, specs, { namespace });
  take(Object.fromEntries(Object.entries(specs).map(([name, { fallback }]) => [name, fallback])), "default");
  const decidedWords = wordsOf(Object.fromEntries(Object.entries(decided).map(([name, { value }]) => [name, value])));
  take(parseWords(decidedWords, specs).given, "data", (name) => decided[name]?.why ?? null);
  const path = "config" in specs ? given["config"] : undefined;
  if (typeof path === "string") {
    const words = configFileArguments(path, specs, { namespace });
    try {
      take(parseWords(words, specs, { namespace }).given, "config file", () => path);
    } catch (error) {
      if (error instanceof UsageError) throw new UsageError(`${path}: ${error.message}`);
      throw error;
    }
  }
  take(given, "command line");
  checkRequired(values, specs);
  const noted = new Map<string, DecidedValue>();
  return {
    values,
    positional,
    origin: (name) => origins.get(name)?.origin ?? (noted.has(name) ? "data" : null),
    note: (name, value) => void noted.set(name, value),
    settings: () =>
      [...new Set([...Object.keys(specs), ...noted.keys()])].flatMap((name): Setting[] => {
        if (RUN_OPTIONS.has(name)) return [];
        const value = values[name];
        if (value !== undefined) return [{ name, value, ...origins.get(name)! }];
        const data = noted.get(name);
        if (data !== undefined) return [{ name, value: data.value, origin: "data", why: data.why }];
        const usual = specs[name]?.usual;
        return usual === undefined ? [] : [{ name, value: usual, origin: "default", why: null }];
      }),
  };
}
