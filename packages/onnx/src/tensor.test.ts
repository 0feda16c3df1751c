import { describe, expect, test } from "vitest";
import { DataType, elementBits, payloadBytes, tensorData, tensorFrom } from "./index.js";

describe("tensorFrom, tensorData", () => {
  test("typed arrays are shared, numbers are converted", () => {
    const data = new Float32Array([1, 2]);
    expect(tensorFrom({ dataType: DataType.FLOAT, dims: [2], data }).rawData.buffer).toBe(data.buffer);
    const axes = tensorFrom({ name: "axes", dataType: DataType.INT64, dims: [2], data: [-1, 2n ** 40n] });
    expect(tensorData(axes)).toEqual(new BigInt64Array([-1n, 2n ** 40n]));
    expect(tensorData(tensorFrom({ dataType: DataType.BOOL, dims: [], data: [1] }))).toEqual(new Uint8Array([1]));
  });

  test("odd offsets are read through a copy, also from a Buffer", () => {
    const bytes = Buffer.alloc(9);
    bytes.writeFloatLE(1.5, 1);
    bytes.writeFloatLE(-2, 5);
    for (const rawData of [bytes.subarray(1), new Uint8Array(bytes).subarray(1)])
      expect([...tensorData({ name: "", dataType: DataType.FLOAT, dims: [2], rawData })]).toEqual([1.5, -2]);
  });

  test("4-bit types are two to a byte", () => {
    expect(elementBits(DataType.INT4)).toBe(4);
    expect(payloadBytes(DataType.UINT4, [3])).toBe(2);
  });

  test.each([
    ["size", () => tensorFrom({ name: "w", dataType: DataType.FLOAT, dims: [3], data: new Float32Array(2) })],
    ["float16 from numbers", () => tensorFrom({ name: "w", dataType: DataType.FLOAT16, dims: [1], data: [1] })],
    ["strings", () => tensorData({ name: "w", dataType: DataType.STRING, dims: [] })],
    ["payload", () => tensorData({ name: "w", dataType: DataType.INT32, dims: [2], rawData: new Uint8Array(7) })],
    ["external", () => tensorData({ name: "w", dataType: DataType.INT32, dims: [2], externalData: [] })],
  ])("throws a typed error: %s", (_, act) => {
    expect(act).toThrow(expect.objectContaining({ code: "onnx/tensor-data", tensor: "w" }));
  });
});
