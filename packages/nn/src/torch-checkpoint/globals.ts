import type { TensorDtype } from "../weights/dtype.js";
import { PickleGlobal, StorageRef, TorchTensor } from "./pickle-values.js";

/** Element types of the typed storages; UntypedStorage counts bytes. */
const STORAGES: Readonly<Record<string, TensorDtype | null>> = {
  "torch.FloatStorage": "F32",
  "torch.DoubleStorage": "F64",
  "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16",
  "torch.LongStorage": "I64",
  "torch.IntStorage": "I32",
  "torch.ShortStorage": "I16",
  "torch.CharStorage": "I8",
  "torch.ByteStorage": "U8",
  "torch.BoolStorage": "BOOL",
  "torch.ComplexFloatStorage": "C64",
  "torch.UntypedStorage": null,
  "torch.storage.UntypedStorage": null,
};

/** null: a dtype that can be named but not read. */
const DTYPES: Readonly<Record<string, TensorDtype | null>> = {
  "torch.float32": "F32",
  "torch.float": "F32",
  "torch.float64": "F64",
  "torch.double": "F64",
  "torch.float16": "F16",
  "torch.half": "F16",
  "torch.bfloat16": "BF16",
  "torch.int64": "I64",
  "torch.long": "I64",
  "torch.int32": "I32",
  "torch.int": "I32",
  "torch.int16": "I16",
  "torch.int8": "I8",
  "torch.uint8": "U8",
  "torch.uint16": "U16",
  "torch.uint32": "U32",
  "torch.uint64": "U64",
  "torch.bool": "BOOL",
  "torch.complex64": "C64",
  "torch.complex128": null,
  "torch.float8_e4m3fn": "F8_E4M3",
  "torch.float8_e5m2": "F8_E5M2",
  "torch.float8_e8m0fnu": "F8_E8M0",
};

type Fail = (reason: string) => never;

/** What a name builds from its arguments. */
const CALLS: Readonly<Record<string, (args: readonly unknown[], fail: Fail) => unknown>> = {
  "collections.OrderedDict": (args, fail) => toMap(args, fail),
  "collections.Counter": (args, fail) => (args[0] instanceof Map ? new Map(args[0]) : toMap(args, fail)),
  "torch._utils._rebuild_tensor": ([storage, offset, size, stride], fail) =>
    toTensor({ storage, offset, size, stride }, fail),
  "torch._utils._rebuild_tensor_v2": ([storage, offset, size, stride], fail) =>
    toTensor({ storage, offset, size, stride }, fail),
  "torch._utils._rebuild_tensor_v3": ([storage, offset, size, stride, , , dtype], fail) =>
    toTensor({ storage, offset, size, stride, dtype }, fail),
  "torch._utils._rebuild_parameter": ([tensor], fail) => parameter(tensor, fail),
  "torch._utils._rebuild_parameter_with_state": ([tensor], fail) => parameter(tensor, fail),
  "torch.nn.parameter.Parameter": ([tensor], fail) => parameter(tensor, fail),
  "torch.Size": ([size], fail) => (Array.isArray(size) ? [...size] : fail("torch.Size of something that is no tuple")),
  "torch.device": (args) => args.join(":"),
  "builtins.set": ([items], fail) => toSet(items, fail),
  "__builtin__.set": ([items], fail) => toSet(items, fail),
  "builtins.bytearray": ([value], fail) => toBytes(value, fail),
  "__builtin__.bytearray": ([value], fail) => toBytes(value, fail),
  "builtins.complex": (args) => args,
  "__builtin__.complex": (args) => args,
  "_codecs.encode": ([text], fail) =>
    typeof text === "string" && text.length <= 1 << 20
      ? Uint8Array.from(text, (letter) => letter.charCodeAt(0))
      : fail("_codecs.encode of something that is no short string"),
};

/** Whether the full name is on the list of harmless ones. */
export function isAllowedGlobal(name: string): boolean {
  return Object.hasOwn(CALLS, name) || Object.hasOwn(STORAGES, name) || Object.hasOwn(DTYPES, name);
}

/** What calling an allowed name means, as data. */
export function reduceGlobal(name: string, args: readonly unknown[], fail: Fail): unknown {
  if (!Object.hasOwn(CALLS, name)) return fail(`${name} is called`);
  return CALLS[name]!(args, fail);
}

/**
 * The storage that a persistent id names: ("storage", class, key, location, elements[, view]); view is null or (key, first element,
 * elements). The location is ignored.
 */
export function toStorage(id: unknown, fail: Fail): StorageRef {
  if (!Array.isArray(id) || id[0] !== "storage") return fail("a persistent id does not name a storage");
  const [, type, key, , elements, view] = id as unknown[];
  if (!(type instanceof PickleGlobal) || !Object.hasOwn(STORAGES, type.name))
    return fail("a storage has no known class");
  if (typeof key !== "string") return fail("a storage has no key");
  if (!isSize(elements)) return fail(`a storage has ${String(elements)} elements`);
  let start = 0;
  let count = elements;
  if (view !== undefined && view !== null) {
    const [, first, length] = Array.isArray(view) ? (view as unknown[]) : [];
    if (!isSize(first) || !isSize(length) || first + length > elements) return fail("a view lies outside its storage");
    [start, count] = [first, length];
  }
  return new StorageRef({ key, dtype: STORAGES[type.name]!, elements: count, start });
}

/** A safe non-negative integer. */
function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function toTensor(
  {
    storage,
    offset,
    size,
    stride,
    dtype,
  }: Record<"storage" | "offset" | "size" | "stride", unknown> & { dtype?: unknown },
  fail: Fail,
): TorchTensor {
  if (!(storage instanceof StorageRef)) return fail("a tensor has no storage");
  const type = dtype instanceof PickleGlobal ? DTYPES[dtype.name] : storage.storage.dtype;
  if (type === undefined || type === null) return fail("a tensor has no element type that can be read");
  if (storage.storage.dtype !== null && storage.storage.dtype !== type)
    return fail("a tensor and its storage differ in type");
  const isList = (value: unknown): value is number[] => Array.isArray(value) && value.every(isSize);
  if (!isSize(offset)) return fail(`a tensor begins at element ${String(offset)}`);
  if (!isList(size)) return fail(`a tensor has size (${String(size)})`);
  if (!isList(stride) || stride.length !== size.length) return fail(`a tensor has stride (${String(stride)})`);
  if (size.length > 64) return fail(`a tensor has ${size.length} dimensions`);
  return new TorchTensor({ storage: storage.storage, dtype: type, offset, shape: [...size], stride: [...stride] });
}

function parameter(tensor: unknown, fail: Fail): TorchTensor {
  return tensor instanceof TorchTensor ? tensor : fail("a parameter holds no tensor");
}

/** OrderedDict() or OrderedDict([[key, value], ...]) of Python 2. */
function toMap(args: readonly unknown[], fail: Fail): Map<unknown, unknown> {
  const [pairs] = args;
  if (pairs === undefined) return new Map();
  if (!Array.isArray(pairs) || !pairs.every((pair) => Array.isArray(pair) && pair.length === 2))
    return fail("an OrderedDict is made of something that is no list of pairs");
  return new Map(pairs as [unknown, unknown][]);
}

function toSet(items: unknown, fail: Fail): Set<unknown> {
  if (items === undefined) return new Set();
  return Array.isArray(items) ? new Set(items) : fail("a set is made of something that is no list");
}

function toBytes(value: unknown, fail: Fail): Uint8Array {
  if (value === undefined) return new Uint8Array();
  return value instanceof Uint8Array ? value.slice() : fail("a bytearray is made of something that is no bytes");
}
