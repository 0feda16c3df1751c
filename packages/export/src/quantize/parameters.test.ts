import { describe, expect, test } from "vitest";
import { ExportError } from "../errors.js";
import { floatTensor } from "../graph-index.js";
import { INTEGER_RANGES, quantizeValue, quantParameters } from "./parameters.js";
import { biasScaleFloor, quantizeBias, quantizeWeight } from "./weights.js";

const { uint8, int8 } = INTEGER_RANGES;
const symmetric8 = INTEGER_RANGES["int8-symmetric"];

describe("quantParameters", () => {
  test.each([
    [-1, 3, uint8, false, 0.015686275, 64],
    [-1, 3, int8, false, 0.015686275, -64],
    [-1, 3, symmetric8, true, 0.023622047, 0],
    [-1, 3, uint8, true, 0.0235294122, 128],
    [-0.2784645, 6, uint8, false, 0.024621429, 11],
    [0.5, 2, uint8, false, 0.007843138, 0],
    [0, 0, uint8, false, 1, 0],
    [0, 1, uint8, false, 0.003921569, 0],
  ])("[%d, %d] in %o, symmetric %s", (rmin, rmax, range, symmetric, scale, zeroPoint) => {
    const found = quantParameters({ rmin, rmax, range, symmetric });
    expect(Math.abs(found.scale / scale - 1)).toBeLessThan(1e-6);
    expect(found.zeroPoint).toBe(zeroPoint);
  });

  test("a NaN range is QUANT_CONFIG and names the tensor", () => {
    try {
      quantParameters({ rmin: Number.NaN, rmax: 1, range: uint8, tensor: "x" });
      expect.unreachable();
    } catch (error) {
      expect(ExportError.is(error, "QUANT_CONFIG") && error.details.tensor).toBe("x");
    }
  });
});

describe("quantizeValue", () => {
  test.each([
    [-0.5, 0],
    [0.5, 0],
    [1.5, 2],
    [2.5, 2],
    [-1.5, -2],
    [126.5, 126],
    [127.5, 127],
    [-128.5, -128],
  ])("rounds %d half to even: %d", (value, expected) => {
    expect(quantizeValue({ value, scale: 1, zeroPoint: 0, range: int8 }) + 0).toBe(expected);
  });
});

describe("quantizeWeight", () => {
  test("takes one scale per slice of the axis: 0 for Conv, 1 for ConvTranspose", () => {
    const tensor = floatTensor("w", Float32Array.of(1, 0.5, -254, 127), [2, 2, 1, 1]);
    const rows = quantizeWeight({ tensor, axis: 0 });
    expect([...rows.values]).toEqual([127, 64, -127, 64]);
    expect(rows.scales[1]).toBe(2);
    const columns = quantizeWeight({ tensor, axis: 1 });
    expect([...columns.values]).toEqual([0, 0, -127, 127]);
    expect([...columns.scales]).toEqual([2, 1]);
  });

  test("a NaN weight is QUANT_CONFIG and names the tensor", () => {
    const tensor = floatTensor("model.0.conv.weight", Float32Array.of(1, Number.NaN), [2, 1, 1, 1]);
    expect(() => quantizeWeight({ tensor, axis: 0 })).toThrowError(/model\.0\.conv\.weight holds NaN at flat index 1/);
  });

  test("a channel with tiny weights is widened until its bias fits int32", () => {
    const weight = floatTensor("w", Float32Array.of(1e-12, 1), [2, 1, 1, 1]);
    const bias = floatTensor("b", Float32Array.of(10, 10), [2]);
    const minimumScales = biasScaleFloor({ bias, inputScale: 0.01 });
    const { scales, values } = quantizeWeight({ tensor: weight, axis: 0, minimumScales });
    expect(values[0]).toBe(0);
    const quantized = quantizeBias({ bias, inputScale: 0.01, weightScales: scales });
    expect(quantized.values[0]! * quantized.scales[0]!).toBeCloseTo(10, 5);
    expect(Math.abs(quantized.values[0]!)).toBeLessThan(2 ** 31 - 1);
  });
});
