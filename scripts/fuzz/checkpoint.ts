import {
  CheckpointFormatError,
  readSafetensors,
  readTorchCheckpoint,
  SafetensorsFormatError,
  UnsafePickleError,
} from "@seg/nn";
import type { Fuzzer, FuzzRandom } from "./fuzzer.js";

/** One reader, one made-up file: small valid ones, with bytes changed, cut, repeated, or opcodes put in. */
export const checkpoint: Fuzzer = async (random) => {
  const build = random.pick([zipFile, zipFile, legacyFile, safetensorsFile]);
  const bytes = damage(random, build(random), build !== safetensorsFile);
  try {
    const file = build === safetensorsFile ? readSafetensors(bytes) : readTorchCheckpoint(bytes, options(random));
    let total = 0;
    for (const name of file.names()) total += file.raw(name).length;
    // Views may expand to 2^20 elements each; a file of some hundred bytes must not yield more than its tensors of that size.
    if (total > file.names().length * 8 * 2 ** 20) throw new Error(`${bytes.length} bytes became ${total}`);
    file.toStateDict();
    return "accepted";
  } catch (error) {
    if (
      SafetensorsFormatError.isInstance(error) &&
      [SafetensorsFormatError, CheckpointFormatError, UnsafePickleError].some((kind) => error instanceof kind)
    )
      return "refused";
    throw error;
  }
};

function options(random: FuzzRandom): { select?: string; allowModuleClasses?: string[] } {
  return {
    ...(random.chance(0.1) ? { select: random.pick(["model", "ema", "x.y", ""]) } : {}),
    ...(random.chance(0.3) ? { allowModuleClasses: [random.pick(["torch.", "os", "", "posix."])] } : {}),
  };
}

const ascii = (text: string): number[] => Array.from(text, (letter) => letter.charCodeAt(0));
const u16 = (n: number): number[] => [n & 255, (n >>> 8) & 255];
const u32 = (n: number): number[] => [...u16(n), ...u16(n >>> 16)];
const i64 = (n: number): number[] => [...u32(n), ...u32(n < 0 ? -1 : 0)];
const unicode = (text: string): number[] => [0x58, ...u32(text.length), ...ascii(text)];
const int = (n: number): number[] => [0x4a, ...u32(n)];
const tuple = (items: number[][]): number[] => [0x28, ...items.flat(), 0x74];
const global = (module: string, name: string): number[] => [0x63, ...ascii(`${module}\n${name}\n`)];

const TYPES = [
  ["FloatStorage", 4],
  ["DoubleStorage", 8],
  ["HalfStorage", 2],
  ["BFloat16Storage", 2],
  ["LongStorage", 8],
  ["BoolStorage", 1],
  ["UntypedStorage", 1],
  ["ComplexFloatStorage", 8],
] as const;

const HOSTILE = [
  global("posix", "system"),
  global("builtins", "eval"),
  global("torch.nn.modules.linear", "Linear"),
  [0x93],
  [0x52],
  [0x81],
  [0x62],
  [0x28],
  [0x5d],
  [0x7d],
  [0x8a, 255],
  [0x69, ...ascii("os\nsystem\n")],
  [0x68, 3],
  [0x71, 3],
  [0x95, ...i64(-1)],
  [0x8d, ...i64(1 << 30)],
  [0x51],
  [0x90],
  [0x65],
  [0x75],
] as const;

interface Pickled {
  readonly pickle: number[];
  readonly storages: { readonly key: string; readonly elements: number; readonly unit: number }[];
}

/** A dict of one to three tensors, with a number that is odd now and then. */
function pickled(random: FuzzRandom): Pickled {
  const odd = (n: number): number => (random.chance(0.03) ? random.pick([-1, 0, 2 ** 31 - 1, -(2 ** 31), 999]) : n);
  const storages: Pickled["storages"] = [];
  const items: number[] = [];
  for (let i = 1 + random.below(3); i > 0; i--) {
    const [type, unit] = random.pick(TYPES);
    const [rows, columns] = [1 + random.below(3), 1 + random.below(3)];
    const key = String(storages.length);
    const elements = rows * columns * (type === "UntypedStorage" && random.chance(0.5) ? 4 : 1);
    storages.push({ key, elements, unit });
    const id = [
      unicode("storage"),
      global(random.pick(["torch", "torch", "torch.storage"]), type),
      unicode(key),
      unicode("cpu"),
    ];
    if (random.chance(0.02)) id.pop();
    const storage = [...tuple([...id, int(odd(elements))]), 0x51];
    const isTurned = random.chance(0.3);
    const size = tuple([int(odd(rows)), int(odd(columns))]);
    const stride = tuple([int(odd(isTurned ? 1 : columns)), int(odd(isTurned ? rows : 1))]);
    const hooks = [...global("collections", "OrderedDict"), 0x29, 0x52];
    const args = tuple([storage, int(odd(0)), size, stride, [0x89], hooks]);
    items.push(...unicode(random.chance(0.02) ? "__proto__" : `t${i}`));
    items.push(...global("torch._utils", "_rebuild_tensor_v2"), ...args, 0x52, 0x73);
  }
  const dict = random.chance(0.5) ? [0x7d] : [...global("collections", "OrderedDict"), 0x29, 0x52];
  const body = [...dict, ...items];
  const whole = random.chance(0.2)
    ? [0x7d, ...unicode(random.pick(["model", "state_dict", "x"])), ...body, 0x73]
    : body;
  return { pickle: [0x80, 2, ...whole, 0x2e], storages };
}

function zipFile(random: FuzzRandom): number[] {
  const { pickle, storages } = pickled(random);
  const files: [string, number[]][] = [["a/data.pkl", mutatePickle(random, pickle)]];
  if (random.chance(0.5)) files.push(["a/byteorder", ascii(random.chance(0.95) ? "little" : "big")]);
  for (const { key, elements, unit } of storages) {
    files.push([`a/data/${key}`, Array.from({ length: elements * unit }, () => random.below(256))]);
  }
  if (random.chance(0.1)) files.push(random.pick(files));
  const out: number[] = [];
  const directory: number[] = [];
  for (const [name, data] of files) {
    const sizes = [...u32(data.length), ...u32(data.length)];
    const offset = out.length;
    const extra = Array.from({ length: random.below(8) }, () => 0);
    const fields = [...u16(0), ...u16(random.chance(0.01) ? 8 : 0), ...u32(0), ...u32(0)];
    out.push(...ascii("PK\x03\x04"), ...u16(45), ...fields, ...sizes, ...u16(name.length), ...u16(extra.length));
    out.push(...ascii(name), ...extra, ...data);
    directory.push(...ascii("PK\x01\x02"), ...u16(45), ...u16(45), ...fields, ...sizes, ...u16(name.length));
    directory.push(...u16(0), ...u16(0), ...u16(0), ...u16(0), ...u32(0), ...u32(offset), ...ascii(name));
  }
  const start = out.length;
  out.push(...directory, ...ascii("PK\x05\x06"), ...u32(0), ...u16(files.length), ...u16(files.length));
  out.push(...u32(directory.length), ...u32(start), ...u16(0));
  return out;
}

function legacyFile(random: FuzzRandom): number[] {
  const { pickle, storages } = pickled(random);
  const magic = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
  const version = [0x80, 2, 0x4d, ...u16(1001), 0x2e];
  const system = [0x80, 2, 0x7d, ...unicode("little_endian"), 0x88, 0x73, 0x2e];
  const keys = [0x80, 2, 0x5d, 0x28, ...storages.flatMap(({ key }) => unicode(key)), 0x65, 0x2e];
  const data = storages.flatMap(({ elements, unit }) => [
    ...i64(random.chance(0.02) ? random.pick([-1, 2 ** 30]) : elements),
    ...Array.from({ length: elements * unit }, () => random.below(256)),
  ]);
  return [...magic, ...version, ...system, ...mutatePickle(random, pickle), ...keys, ...data];
}

function safetensorsFile(random: FuzzRandom): number[] {
  const odd = <T>(value: T): unknown =>
    random.chance(0.03) ? random.pick([null, -1, 0.5, "", [], {}, 2 ** 53, "F32", true]) : value;
  let end = 0;
  const header: Record<string, unknown> = random.chance(0.3) ? { __metadata__: odd({ format: odd("pt") }) } : {};
  for (let i = random.below(4); i > 0; i--) {
    const [dtype, unit] = random.pick([
      ["F32", 4],
      ["F16", 2],
      ["BF16", 2],
      ["I64", 8],
      ["U64", 8],
      ["F8_E4M3", 1],
      ["C64", 8],
      ["BOOL", 1],
    ] as const);
    const [rows, columns] = [random.below(4), 1 + random.below(4)];
    const begin = end;
    end += rows * columns * unit;
    header[random.chance(0.02) ? "__proto__" : `t${i}`] = odd({
      dtype: odd(dtype),
      shape: odd([odd(rows), odd(columns)]),
      data_offsets: odd([odd(begin), odd(end)]),
    });
  }
  const text = ascii(JSON.stringify(header));
  return [...i64(text.length), ...text, ...Array.from({ length: end }, () => random.below(256))];
}

/** Opcodes put anywhere into the pickle, most often not at all. */
function mutatePickle(random: FuzzRandom, pickle: number[]): number[] {
  const result = [...pickle];
  for (let edits = random.chance(0.5) ? 0 : random.below(4); edits > 0; edits--) {
    const insert = random.chance(0.7) ? [...random.pick(HOSTILE)] : [random.below(256)];
    result.splice(random.below(result.length + 1), random.below(3), ...insert);
  }
  return result;
}

function damage(random: FuzzRandom, bytes: number[], mayCut: boolean): Uint8Array {
  const result = [...bytes];
  if (random.chance(0.4)) {
    for (let edits = random.below(4); edits > 0; edits--) {
      const at = random.below(result.length + 1);
      result.splice(at, random.below(2), ...(random.chance(0.7) ? [random.below(256)] : []));
    }
  }
  const isCut = mayCut && random.chance(0.1);
  return Uint8Array.from(isCut ? result.slice(0, random.below(result.length + 1)) : result);
}
