import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ExportError } from "../errors.js";
import { crc32 } from "./crc32.js";
import { FlatBuilder } from "./flat-builder.js";
import { metadataZip, readMetadataZip } from "./metadata-zip.js";
import type { TfliteModel } from "./model.js";
import { readTflite } from "./read-tflite.js";
import { writeTflite } from "./write-tflite.js";

const small: TfliteModel = {
  description: "two operators",
  subgraphs: [
    {
      name: "main",
      tensors: [
        { name: "x", shape: [1, 2, 2, 1], type: "float32" },
        {
          name: "w",
          shape: [1, 1, 1, 1],
          type: "int8",
          data: Uint8Array.of(127),
          quantization: { scale: [0.5], zeroPoint: [0], dimension: 0 },
        },
        { name: "b", shape: [1], type: "float32", data: new Uint8Array(Float32Array.of(0.25).buffer) },
        { name: "y", shape: [1, 2, 2, 1], type: "float32" },
        { name: "z", shape: [4], type: "float32" },
        { name: "shape", shape: [1], type: "int32", data: new Uint8Array(Int32Array.of(4).buffer) },
      ],
      operators: [
        {
          op: "CONV_2D",
          version: 2,
          inputs: [0, 1, 2],
          outputs: [3],
          options: { padding: 1, strideW: 1, strideH: 1, activation: 0, dilationW: 1, dilationH: 1 },
        },
        { op: "RESHAPE", version: 1, inputs: [3, 5], outputs: [4], options: { newShape: [4] } },
      ],
      inputs: [0],
      outputs: [4],
    },
  ],
  signatures: [{ key: "serving_default", subgraph: 0, inputs: [["images", 0]], outputs: [["output0", 4]] }],
  metadata: { task: "detect", names: { "0": "it's", "1": "Ohr ä" } },
};

describe("writeTflite and readTflite", () => {
  test("a model comes back as it was", () => {
    expect(readTflite(writeTflite(small))).toEqual(small);
  });

  test("the identifier is TFL3 and constants lie on 16-byte boundaries", () => {
    const bytes = writeTflite(small);
    expect(String.fromCharCode(...bytes.subarray(4, 8))).toBe("TFL3");
    for (const { data } of readTflite(bytes).subgraphs[0]!.tensors) {
      if (data !== undefined) expect((data.byteOffset - bytes.byteOffset) % 16).toBe(0);
    }
  });

  test("any tensors, quantisation and options survive", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 12 });
    const tensor = fc.record({
      name: text,
      side: fc.integer({ min: 0, max: 40 }),
      isConstant: fc.boolean(),
      scale: fc.float({ min: Math.fround(1e-3), max: 9, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(tensor, { maxLength: 12 }), text, (tensors, description) => {
        const model: TfliteModel = {
          description,
          subgraphs: [
            {
              name: "g",
              tensors: tensors.map(({ name, side, isConstant, scale }) => ({
                name,
                shape: [1, side],
                type: "int8",
                // An empty buffer cannot be told from an absent one.
                ...(isConstant && side > 0 ? { data: Uint8Array.from({ length: side }, (_, i) => i) } : {}),
                quantization: { scale: [scale], zeroPoint: [-3], dimension: 0 },
              })),
              operators: tensors.map((_, i) => ({
                op: "CONCATENATION",
                version: 2,
                inputs: [i, -1],
                outputs: [i],
                options: { axis: -1 - i, activation: 3 },
              })),
              inputs: [],
              outputs: [],
            },
          ],
          signatures: [],
        };
        expect(readTflite(writeTflite(model))).toEqual(model);
      }),
      { numRuns: 50 },
    );
  });

  test("every truncation and every changed reference is a typed error or a model", () => {
    const bytes = writeTflite(small);
    for (let length = 0; length < bytes.length; length++) {
      for (const damaged of [bytes.slice(0, length), bytes.with(length, bytes[length]! ^ 0xff)]) {
        try {
          readTflite(damaged);
        } catch (error) {
          if (!ExportError.is(error, "MALFORMED_TFLITE")) throw error;
        }
      }
    }
  });

  test("tables that are shared more often than the file is long are refused before they cost memory", () => {
    const builder = new FlatBuilder();
    const tensors = builder.refs(new Array(10_000).fill(builder.table([])));
    const subgraph = builder.table([{ slot: 0, kind: "ref", value: tensors }]);
    const root = builder.table([
      { slot: 0, kind: "uint32", value: 3 },
      { slot: 2, kind: "ref", value: builder.refs(new Array(10_000).fill(subgraph)) },
    ]);
    expect(() => readTflite(builder.finish(root, "TFL3"))).toThrow(/shared more often/);
  });
});

describe("metadataZip", () => {
  test("crc32 is that of the standard check", () => {
    expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
  });

  test("positions count from the start of the file in front", () => {
    const front = new Uint8Array(100).fill(7);
    const zip = metadataZip({ a: 1 }, front.length);
    expect(readMetadataZip(Uint8Array.from([...front, ...zip]))).toBe('{"a":1}');
    expect(readMetadataZip(front)).toBeNull();
  });
});
