import { CheckpointFormatError } from "../errors.js";
import type { StateTensor } from "../module.js";
import { openBytes, type ReadBytes } from "../weights/byte-source.js";
import { decodeTensor } from "../weights/decode-tensor.js";
import { DTYPE_BYTES } from "../weights/dtype.js";
import type { WeightFile } from "../weights/weight-file.js";
import { LEGACY_MAGIC, readLegacy } from "./legacy.js";
import type { TorchTensor } from "./pickle-values.js";
import { findStateDict } from "./state-dicts.js";
import { checkView, gather, isContiguous, type StoredBytes } from "./storages.js";
import { type UnpickleOptions, unpickle } from "./unpickle.js";
import { readZipDirectory, type ZipEntry, zipDataStart } from "./zip.js";

/** `data.pkl` describes tensors, some hundred bytes each. */
const MAX_PICKLE = 256 << 20;

/** Which part of a checkpoint is read, within which limits. */
export interface ReadTorchCheckpointOptions {
  /** Which of several state dicts: a key of the saved dict, or several joined with ".". */
  readonly select?: string;
  /**
   * Prefixes of class names (`"ultralytics."`, `"torch.nn.modules."`) that become inert objects, so that whole pickled models can be read.
   * Nothing of them is ever run.
   */
  readonly allowModuleClasses?: readonly string[];
}

/** An opened PyTorch checkpoint; every tensor's place has been checked, data is read on demand. */
export interface TorchCheckpoint extends WeightFile {
  /** What was saved, as inert data: dicts are Map, lists and tuples Array, sets Set, None null. */
  readonly root: unknown;
}

/**
 * Opens a PyTorch `.pth`, `.pt` or `.bin` file, in the zip format (torch >= 1.6) or the older stream. The pickle inside is read by an
 * interpreter that builds inert data from a list of harmless names and runs nothing. Shared storages and any strides are resolved; where
 * tensors were stored (device) is ignored.
 *
 * @param source - path, or the bytes of a file
 * @throws {@link UnsafePickleError} naming what a file wants to import beyond the list; {@link CheckpointFormatError} for content that is
 * malformed, truncated, big-endian, TorchScript, or holds no state dict; the file system's error when the file cannot be read
 * @example
 * const file = readTorchCheckpoint("sam_vit_b_01ec64.pth");
 * loadStateDict(model, file, { map: samOriginalKeys }); // reads one tensor at a time
 */
export function readTorchCheckpoint(
  source: string | Uint8Array,
  { select, allowModuleClasses = [] }: ReadTorchCheckpointOptions = {},
): TorchCheckpoint {
  const { path, withReader } = openBytes(source);
  const fail = (reason: string): never => {
    throw new CheckpointFormatError({ reason, path });
  };
  const { root, storages } = withReader((read, size) => openCheckpoint(read, size, { path, allowModuleClasses }, fail));
  const tensors = findStateDict(root, select, fail);
  for (const [name, tensor] of tensors) {
    checkView(tensor, storages.get(tensor.storage.key), (reason) => fail(`tensor "${name}": ${reason}`));
  }
  const tensorOf = (name: string): TorchTensor => {
    const tensor = tensors.get(name);
    if (!tensor)
      throw new RangeError(
        `${path ?? "The checkpoint bytes"} hold no tensor "${name}"; names() lists the ${tensors.size} there are.`,
      );
    return tensor;
  };
  const raw = (read: ReadBytes, name: string, tensor: TorchTensor): Uint8Array => {
    const stored = storages.get(tensor.storage.key)!;
    const range = checkView(tensor, stored, fail);
    if (range === null) return new Uint8Array();
    const unit = DTYPE_BYTES[tensor.dtype];
    const length = (range.last - range.first + 1) * unit;
    const bytes = read(stored.start + range.first * unit, length);
    if (bytes.length !== length) return fail(`the data of tensor "${name}" ends early`);
    return isContiguous(tensor) ? bytes : gather(bytes, tensor, unit);
  };
  const load = (read: ReadBytes, name: string, tensor: TorchTensor): StateTensor =>
    decodeTensor({ dtype: tensor.dtype, shape: tensor.shape, bytes: raw(read, name, tensor) }, (reason) =>
      fail(`tensor "${name}": ${reason}`),
    );
  return {
    root,
    names: () => [...tensors.keys()],
    has: (name) => tensors.has(name),
    info: (name) => {
      const { dtype, shape } = tensorOf(name);
      return { dtype, shape };
    },
    tensor: (name) => {
      const tensor = tensorOf(name);
      return withReader((read) => load(read, name, tensor));
    },
    raw: (name) => {
      const tensor = tensorOf(name);
      return withReader((read) => raw(read, name, tensor));
    },
    toStateDict: () =>
      withReader((read) => new Map([...tensors].map(([name, tensor]) => [name, load(read, name, tensor)]))),
  };
}

interface Opened {
  readonly root: unknown;
  readonly storages: ReadonlyMap<string, StoredBytes>;
}

function openCheckpoint(
  read: ReadBytes,
  size: number,
  options: UnpickleOptions,
  fail: (reason: string) => never,
): Opened {
  const start = read(0, 512);
  if (start.length >= 4 && start[0] === 0x50 && start[1] === 0x4b) return openZip(read, size, options, fail);
  if (LEGACY_MAGIC.every((byte, i) => start[i] === byte)) return readLegacy(read, size, options, fail);
  if (size === 0) return fail("the file is empty");
  const text = new TextDecoder("latin1").decode(start);
  if (text.startsWith("version https://git-lfs")) {
    return fail("it is a Git LFS pointer, not the file itself; fetch the file with git lfs pull");
  }
  if (/^\s*<(!doctype|html)/i.test(text)) return fail("it is an HTML page; the download went wrong");
  if (start[0] === 0x80) {
    // A pickle without torch's magic number: say so if it wants something dangerous.
    unpickle(read(0, Math.min(size, MAX_PICKLE)), options);
    return fail("it is a pickle, but not one that torch.save wrote");
  }
  if (text.slice(257, 262) === "ustar") return fail("it is a tar archive, the format before PyTorch 0.1.10");
  return fail("it begins like no format of PyTorch");
}

function openZip(read: ReadBytes, size: number, options: UnpickleOptions, fail: (reason: string) => never): Opened {
  const entries = readZipDirectory(read, size, fail);
  const contents = (entry: ZipEntry): Uint8Array => read(zipDataStart(read, size, entry, fail), entry.size);
  const pickles = [...entries.keys()].filter((name) => name === "data.pkl" || /^[^/]*\/data\.pkl$/.test(name));
  const [name] = pickles;
  if (name === undefined) return fail("the archive holds no data.pkl");
  if (pickles.length > 1) return fail(`the archive holds ${pickles.join(" and ")}`);
  const prefix = name.slice(0, -"data.pkl".length);
  if (entries.has(`${prefix}constants.pkl`)) {
    return fail("it is a TorchScript archive (constants.pkl); save the state_dict instead");
  }
  const order = entries.get(`${prefix}byteorder`);
  if (order && order.size < 16 && new TextDecoder().decode(contents(order)).trim() !== "little") {
    return fail("it is not little-endian (entry byteorder)");
  }
  const pickle = entries.get(name)!;
  if (pickle.size > MAX_PICKLE) return fail(`data.pkl has ${pickle.size} bytes`);
  const { value: root } = unpickle(contents(pickle), options);
  const storages = new Map<string, StoredBytes>();
  for (const entry of entries.values()) {
    if (!entry.name.startsWith(`${prefix}data/`)) continue;
    const key = entry.name.slice(prefix.length + "data/".length);
    storages.set(key, { start: zipDataStart(read, size, entry, fail), size: entry.size });
  }
  return { root, storages };
}
