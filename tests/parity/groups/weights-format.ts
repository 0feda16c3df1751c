import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  CheckpointFormatError,
  readSafetensors,
  readTorchCheckpoint,
  SafetensorsFormatError,
  UnsafePickleError,
  type WeightFile,
} from "@seg/nn";
import type { Check } from "../check.js";

/**
 * Reads every file of `good/` and compares all tensors, bit for bit, with its safetensors twin; demands a typed error for every file of `reject/`.
 * `dir` is laid out as fixtures/weights-format/README.md describes.
 */
export async function run(dir: string, check: Check): Promise<void> {
  for (const name of files(join(dir, "good"))) compareGood(join(dir, "good"), name, check);
  for (const name of files(join(dir, "reject"))) {
    const error = errorOf(join(dir, "reject", name));
    const isTyped = [SafetensorsFormatError, CheckpointFormatError, UnsafePickleError].some(
      (kind) => error instanceof kind,
    );
    check.ok(`reject/${name}`, isTyped, error === null ? "was accepted" : String(error));
  }
  const expected = join(dir, "expected.json");
  if (existsSync(expected)) compareNested(dir, JSON.parse(readFileSync(expected, "utf8")) as Expected, check);
}

interface Expected {
  readonly nested?: Readonly<Record<string, unknown>>;
  readonly tensors?: Readonly<Record<string, { readonly dtype: string; readonly shape: readonly number[] }>>;
}

const files = (path: string): string[] => (existsSync(path) ? readdirSync(path).sort() : []);

const open = (path: string): WeightFile =>
  path.endsWith(".safetensors") ? readSafetensors(path) : readTorchCheckpoint(path);

function errorOf(path: string): unknown {
  try {
    open(path).toStateDict();
    return null;
  } catch (error) {
    return error;
  }
}

/** `NAME.safetensors`, or `STEM.model.safetensors` for `STEM_zip.pth` and `STEM_legacy.pth`; null without twin. */
function twinOf(dir: string, name: string): string | null {
  const stem = name.replace(/\.[^.]+$/, "");
  const candidates = [`${stem}.safetensors`, `${stem.replace(/_(zip|legacy)$/, "")}.model.safetensors`];
  const found = candidates.find((candidate) => existsSync(join(dir, candidate)));
  return found === undefined ? null : join(dir, found);
}

function compareGood(dir: string, name: string, check: Check): void {
  let file: WeightFile;
  try {
    file = open(join(dir, name));
    file.toStateDict();
  } catch (error) {
    check.ok(`good/${name}`, false, String(error));
    return;
  }
  check.ok(`good/${name} opens`, file.names().length > 0, "holds no tensor");
  const twinPath = twinOf(dir, name);
  if (twinPath === null || name.endsWith(".safetensors")) return;
  const twin = readSafetensors(twinPath);
  const names = twin.names().sort();
  check.ok(`good/${name} names`, file.names().sort().join("\n") === names.join("\n"), "other names than its twin");
  for (const key of names.filter((other) => file.has(other))) {
    const [a, b] = [file.info(key), twin.info(key)];
    const isSame =
      a.dtype === b.dtype &&
      a.shape.join() === b.shape.join() &&
      Buffer.from(file.raw(key)).equals(Buffer.from(twin.raw(key)));
    check.ok(`good/${name} ${key}`, isSame, `${a.dtype} [${a.shape}] against ${b.dtype} [${b.shape}]`);
  }
}

/** What lies beside the tensors of the nested files. */
function compareNested(dir: string, { nested = {}, tensors = {} }: Expected, check: Check): void {
  const dtypes: Readonly<Record<string, string>> = {
    float32: "F32",
    float64: "F64",
    float16: "F16",
    bfloat16: "BF16",
    int64: "I64",
    int32: "I32",
    int16: "I16",
    int8: "I8",
    uint8: "U8",
    bool: "BOOL",
  };
  for (const name of ["nested_zip.pth", "nested_legacy.pth"]) {
    const path = join(dir, "good", name);
    if (!existsSync(path)) continue;
    const file = readTorchCheckpoint(path);
    for (const [key, { dtype, shape }] of Object.entries(tensors)) {
      const own = file.has(key) ? file.info(key) : null;
      const isSame = own !== null && own.dtype === (dtypes[dtype] ?? dtype) && own.shape.join() === shape.join();
      check.ok(`${name} ${key} is ${dtype} [${shape}]`, isSame, own ? `${own.dtype} [${own.shape}]` : "missing");
    }
    const root = file.root as ReadonlyMap<string, unknown>;
    for (const [key, value] of Object.entries(nested)) {
      // Values that expected.json states in another place than the saved object.
      if (!root.has(key)) continue;
      const actual = root.get(key);
      const isSame =
        typeof actual === "bigint" ? String(actual) === value : JSON.stringify(actual) === JSON.stringify(value);
      check.ok(`${name} ${key}`, isSame, `${String(actual)}, expected ${JSON.stringify(value)}`);
    }
  }
}
