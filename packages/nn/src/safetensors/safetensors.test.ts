import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { SafetensorsFormatError } from "../errors.js";
import type { StateTensor } from "../module.js";
import { readSafetensors } from "./read.js";
import { encodeSafetensors, writeSafetensors } from "./write.js";

const shared = process.env["SEG_SHARED"] ?? join(import.meta.dirname, "../../../../../shared");
const fixtures = join(shared, "fixtures/weights-format");
const directory = mkdtempSync(join(tmpdir(), "seg-nn-"));
afterAll(() => rmSync(directory, { recursive: true }));

const f32 = (shape: number[], ...values: number[]): StateTensor => ({
  dtype: "F32",
  shape,
  data: Float32Array.from(values),
});

// Comparing large arrays with toEqual takes seconds.
const bytesOf = ({ data }: StateTensor) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

/** A file with the given header text. */
function file(header: string, dataBytes: number): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

describe("writeSafetensors, encodeSafetensors", () => {
  test("writes the documented layout: length, padded JSON, data", () => {
    const bytes = encodeSafetensors(new Map([["a", f32([2], 1, -2)]]), { metadata: { format: "pt" } });
    const header = `{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`;
    const length = Math.ceil(header.length / 8) * 8;
    expect(new DataView(bytes.buffer).getUint32(0, true)).toBe(length);
    expect(new TextDecoder().decode(bytes.subarray(8, 8 + length))).toBe(header.padEnd(length));
    expect([...bytes.subarray(8 + length)]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
  });

  test("orders by alignment, then name, whatever the order of the map", () => {
    const counter: StateTensor = { dtype: "I64", shape: [], data: BigInt64Array.of(7n) };
    const entries: [string, StateTensor][] = [
      ["b", f32([1], 1)],
      ["10", f32([1], 2)],
      ["9", f32([1], 3)],
      ["z", counter],
    ];
    const bytes = encodeSafetensors(new Map(entries));
    expect(readSafetensors(bytes).names()).toEqual(["z", "10", "9", "b"]);
    expect(encodeSafetensors(new Map(entries.reverse()))).toEqual(bytes);
  });

  test("replaces a file atomically and leaves no temporary one", () => {
    const path = join(directory, "new/a.safetensors");
    writeSafetensors(path, new Map([["a", f32([1], 1)]]));
    writeSafetensors(path, new Map([["a", f32([1], 2)]]));
    expect(readSafetensors(path).tensor("a").data[0]).toBe(2);
    expect(() => writeSafetensors(path, new Map([["a", f32([2], 3)]]))).toThrow(SafetensorsFormatError);
    expect(readSafetensors(path).tensor("a").data[0]).toBe(2);
    expect(readdirSync(join(directory, "new"))).toEqual(["a.safetensors"]);
  });

  test("stores F32 as F16 on request and keeps I64", () => {
    const dict = new Map<string, StateTensor>([
      ["w", f32([3], 1.5, 65519, 2 ** -24)],
      ["n", { dtype: "I64", shape: [1], data: BigInt64Array.of(-(2n ** 62n)) }],
    ]);
    const back = readSafetensors(encodeSafetensors(dict, { dtype: "F16" }));
    expect(back.info("w")).toEqual({ dtype: "F16", shape: [3] });
    expect(back.tensor("w")).toEqual({ ...f32([3], 1.5, 65504, 2 ** -24), storedAs: "F16" });
    expect(back.tensor("n").data).toEqual(BigInt64Array.of(-(2n ** 62n)));
  });

  test("keeps empty tensors, scalars and odd names", () => {
    const dict = new Map([
      ["", f32([])],
      ['é "q"\n', f32([], 4)],
      ["__proto__", f32([0, 3])],
    ]);
    dict.set("", f32([1], 5));
    expect(readSafetensors(encodeSafetensors(dict)).toStateDict()).toEqual(
      new Map([...dict].sort(([a], [b]) => (a < b ? -1 : 1))),
    );
  });
});

describe("readSafetensors", () => {
  const entry = `{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`;
  test.each([
    ["a duplicate key in an escaped spelling", file(`{"a":${entry},"\\u0061":${entry}}`, 4), /"a" twice/],
    [
      "a duplicate field",
      file(`{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}`, 4),
      /"dtype" twice/,
    ],
    ["fractional sizes", file(`{"a":{"dtype":"F32","shape":[0.5],"data_offsets":[0,2]}}`, 2), /shape/],
    ["a missing field", file(`{"a":{"dtype":"F32","shape":[1]}}`, 4), /data_offsets/],
    [
      "an inherited name as dtype",
      file(`{"a":{"dtype":"toString","shape":[1],"data_offsets":[0,4]}}`, 4),
      /dtype "toString"/,
    ],
    ["a null entry", file(`{"a":null}`, 0), /not an object/],
    ["leading white space", file(` {}`, 0), /not a JSON object/],
    ["nothing", new Uint8Array(), /0 bytes/],
  ])("refuses %s", (_, bytes, message) => {
    expect(() => readSafetensors(bytes)).toThrow(message);
    expect(() => readSafetensors(bytes)).toThrow(SafetensorsFormatError);
  });

  test("takes keys inside strings for text, not keys", () => {
    const bytes = file(`{"__metadata__":{"k":"{\\"k\\":1}"},"a":${entry}}`, 4);
    expect(readSafetensors(bytes).metadata).toEqual({ k: `{"k":1}` });
  });

  test("names an unknown tensor", () => {
    expect(() => readSafetensors(file("{}", 0)).tensor("a")).toThrow(/no tensor "a"/);
  });
});

describe.skipIf(!existsSync(fixtures))("weights-format fixtures", () => {
  const good = existsSync(fixtures)
    ? readdirSync(join(fixtures, "good")).filter((name) => name.endsWith(".safetensors"))
    : [];
  const bad = existsSync(fixtures)
    ? readdirSync(join(fixtures, "reject")).filter((name) => name.startsWith("st_"))
    : [];

  test.each(good)("loads %s, from path and from bytes alike", (name) => {
    const path = join(fixtures, "good", name);
    const file = readSafetensors(path);
    const dict = file.toStateDict();
    expect(dict.size).toBeGreaterThan(0);
    const fromBytes = readSafetensors(readFileSync(path)).toStateDict();
    expect([...fromBytes.keys()]).toEqual([...dict.keys()]);
    for (const [key, { shape, data }] of dict) {
      expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
      expect(bytesOf(file.tensor(key)).equals(bytesOf(dict.get(key)!))).toBe(true);
      expect(bytesOf(fromBytes.get(key)!).equals(bytesOf(dict.get(key)!))).toBe(true);
    }
  });

  test("converts every dtype of nested.model", () => {
    const file = readSafetensors(join(fixtures, "good/nested.model.safetensors"));
    const expected = JSON.parse(readFileSync(join(fixtures, "expected.json"), "utf8")) as { i64: string[] };
    expect(file.tensor("i64").data).toEqual(BigInt64Array.from(expected.i64, BigInt));
    expect(file.info("f64").dtype).toBe("F64");
    for (const name of ["f64", "bf16", "half", "flag", "u8", "i8", "i16"]) expect(file.tensor(name).dtype).toBe("F32");
    expect(file.tensor("i32").dtype).toBe("I64");
    expect(file.tensor("half_special").data.length).toBe(7);
  });

  test.each(bad)("refuses %s", (name) => {
    const path = join(fixtures, "reject", name);
    let caught: unknown;
    try {
      readSafetensors(path);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(SafetensorsFormatError);
    expect(caught).toMatchObject({ code: "nn/safetensors", path });
    expect((caught as SafetensorsFormatError).reason).not.toBe("");
  });

  test("finds all reject cases", () => expect(bad.length).toBe(17));
});
