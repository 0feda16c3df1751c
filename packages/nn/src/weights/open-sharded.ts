import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { SafetensorsFormatError } from "../errors.js";
import { findDuplicateKey } from "../safetensors/header.js";
import { readSafetensors, type SafetensorsFile } from "../safetensors/read.js";
import type { WeightFile } from "./weight-file.js";

const INDEX = "model.safetensors.index.json";
/** Hugging Face indexes have some hundred bytes a tensor. */
const MAX_INDEX_BYTES = 100_000_000;

/** A model whose tensors are spread over several safetensors files. */
export interface ShardedFile extends WeightFile {
  /** `metadata` of the index, empty if absent. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Names of the shards, in the order of the index. */
  readonly shards: readonly string[];
}

/**
 * Opens a sharded model: `model.safetensors.index.json` ({metadata, weight_map}) and the files it names, which must lie beside it. All headers
 * are checked before any tensor is touched. Tensors that a shard holds and the index does not name are not seen.
 *
 * @param path - the index, or the folder that holds it under its usual name
 * @throws {@link SafetensorsFormatError} when the index is malformed, names a file outside its folder, or a tensor that its shard lacks
 */
export function openSharded(path: string): ShardedFile {
  const file = statSync(path).isDirectory() ? join(path, INDEX) : path;
  const fail = (reason: string, cause?: unknown): never => {
    throw new SafetensorsFormatError({ reason, path: file, cause });
  };
  if (statSync(file).size > MAX_INDEX_BYTES) return fail(`the index has more than ${MAX_INDEX_BYTES} bytes`);
  const text = readFileSync(file, "utf8");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return fail("the index is not JSON", error);
  }
  const { weight_map: map, metadata = {} } = (json ?? {}) as { weight_map?: unknown; metadata?: unknown };
  if (typeof map !== "object" || map === null || Array.isArray(map)) return fail("the index holds no weight_map");
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata))
    return fail("metadata is no object");
  const duplicate = findDuplicateKey(text);
  if (duplicate !== null) return fail(`the index names "${duplicate}" twice`);
  const shards = new Map<string, SafetensorsFile>();
  const places = new Map<string, SafetensorsFile>();
  for (const [name, shard] of Object.entries(map)) {
    // A plain name only: an index must not reach other folders.
    if (typeof shard !== "string" || shard !== basename(shard) || /^\.{0,2}$|[\\/]/.test(shard)) {
      return fail(`tensor "${name}" is in ${JSON.stringify(shard)}, which is no file name in the folder of the index`);
    }
    let opened = shards.get(shard);
    if (opened === undefined) {
      const shardPath = join(dirname(file), shard);
      if (!existsSync(shardPath)) return fail(`the shard ${shard} is not there`);
      opened = readSafetensors(shardPath);
      shards.set(shard, opened);
    }
    if (!opened.has(name)) return fail(`the shard ${shard} lacks tensor "${name}"`);
    places.set(name, opened);
  }
  const place = (name: string): SafetensorsFile => {
    const shard = places.get(name);
    if (!shard) throw new RangeError(`${file} names no tensor "${name}"; names() lists the ${places.size} there are.`);
    return shard;
  };
  return {
    metadata: metadata as Record<string, unknown>,
    shards: [...shards.keys()],
    names: () => [...places.keys()],
    has: (name) => places.has(name),
    info: (name) => place(name).info(name),
    tensor: (name) => place(name).tensor(name),
    raw: (name) => place(name).raw(name),
    toStateDict: () => new Map([...places].map(([name, shard]) => [name, shard.tensor(name)])),
  };
}
