import { parse, stringify } from "yaml";

/** What a data.yaml says. */
export interface YoloConfig {
  /** By class index. */
  readonly names: readonly string[];
  /** Base folder as written, null where absent. */
  readonly path: string | null;
  /** Image folders or list files of each split, as written. */
  readonly splits: Readonly<Record<string, readonly string[]>>;
  /** Points and numbers per point of pose rows. */
  readonly keypointShape: readonly [number, number] | null;
}

/** Splits by the keys of data.yaml. `valid` is what some exporters write. */
const SPLIT_KEYS: readonly (readonly [key: string, name: string])[] = [
  ["train", "train"],
  ["val", "val"],
  ["valid", "val"],
  ["test", "test"],
];
/** Aliases that a document may expand: far above any real file, far below a "billion laughs". */
const MAX_ALIASES = 100;
/** Warnings are not printed: what is wrong is returned. */
const PARSE = { maxAliasCount: MAX_ALIASES, logLevel: "error" } as const;

/**
 * Reads a data.yaml.
 * @returns the configuration, or what is wrong with the file
 */
export function parseDataYaml(text: string): YoloConfig | string {
  let value: unknown;
  try {
    value = parse(text, PARSE);
  } catch (error) {
    return `is not YAML: ${(error as Error).message.split("\n")[0]}`;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "is no mapping of keys to values.";
  const config = value as Record<string, unknown>;
  const names = namesOf(config["names"]);
  if (typeof names === "string") return names;
  const count = config["nc"];
  if (count !== undefined && count !== null && count !== names.length) {
    return `says nc: ${String(count)} but lists ${names.length} names. Correct one of them.`;
  }
  const duplicate = names.find((name, index) => names.indexOf(name) !== index);
  if (duplicate !== undefined) return `lists the name "${duplicate}" twice. Give every class its own name.`;
  const splits: Record<string, string[]> = {};
  for (const [key, name] of SPLIT_KEYS) {
    const entry = config[key];
    if (entry === undefined || entry === null) continue;
    const list = Array.isArray(entry) ? entry : [entry];
    if (!list.every((item) => typeof item === "string" && item !== "")) {
      return `has ${key}: ${JSON.stringify(entry)}, expected a folder, a list file, or a list of them.`;
    }
    splits[name] = [...(splits[name] ?? []), ...(list as string[])];
  }
  const shape = config["kpt_shape"];
  if (shape !== undefined && !isKeypointShape(shape)) {
    return `has kpt_shape: ${JSON.stringify(shape)}, expected [points, 2] or [points, 3].`;
  }
  const path = config["path"];
  return {
    names,
    path: typeof path === "string" && path !== "" ? path : null,
    splits,
    keypointShape: shape === undefined ? null : shape,
  };
}

/** Whether a text is the configuration of a YOLO dataset: a mapping with `names` and a split. */
export function looksLikeDataYaml(text: string): boolean {
  try {
    const value: unknown = parse(text, PARSE);
    if (typeof value !== "object" || value === null) return false;
    return "names" in value && SPLIT_KEYS.some(([key]) => key in value);
  } catch {
    return false;
  }
}

/**
 * Text of a data.yaml; `splits` are image folders by split, relative to the file. There is no `path`: readers then take the folder of the
 * file, wherever it was moved, while a relative path would mean the reader's own folder of datasets.
 */
export function formatDataYaml({
  names,
  splits,
}: {
  names: readonly string[];
  splits: Readonly<Record<string, string>>;
}): string {
  return stringify({ ...splits, nc: names.length, names: new Map(names.entries()) });
}

function namesOf(value: unknown): string[] | string {
  if (Array.isArray(value)) return value.map(String);
  if (typeof value !== "object" || value === null) {
    return `has no names: expected a list or a mapping from class index to name.`;
  }
  const entries = Object.entries(value).map(([index, name]) => [Number(index), String(name)] as const);
  const byIndex = new Map(entries);
  const names: string[] = [];
  for (let index = 0; index < entries.length; index++) {
    const name = byIndex.get(index);
    if (name === undefined) return `names no class ${index}: expected the indices 0 to ${entries.length - 1}.`;
    names.push(name);
  }
  return names;
}

function isKeypointShape(value: unknown): value is [number, number] {
  return (
    Array.isArray(value) &&
    value.length === 2 &&
    Number.isInteger(value[0]) &&
    value[0] > 0 &&
    (value[1] === 2 || value[1] === 3)
  );
}
