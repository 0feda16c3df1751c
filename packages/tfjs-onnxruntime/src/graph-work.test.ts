import { describe, expect, test } from "vitest";
import { hostValue, record, type Value } from "./graph.js";
import { graphWork } from "./graph-work.js";

const value = (...shape: number[]): Value => hostValue(new Float32Array(0), shape, "float32");
const work = (op: string, inputs: Value[], shape: number[]) =>
  graphWork([record({ op, inputs, outputs: [{ shape, dtype: "float32" }] })[0]!.node!]);

describe("graphWork", () => {
  test("nothing", () => {
    expect(graphWork([])).toBe(0);
  });

  test("elementwise and reductions: the largest tensor", () => {
    expect(work("Add", [value(10, 10), value(10)], [10, 10])).toBe(100);
    expect(work("Sum", [value(10, 10)], [])).toBe(100);
  });

  test("a product: M K N", () => {
    expect(work("BatchMatMul", [value(3, 4), value(4, 5)], [3, 5])).toBeCloseTo(60, 9);
    expect(work("Conv2D", [value(1, 8, 8, 2), value(1, 1, 2, 3)], [1, 8, 8, 3])).toBeCloseTo(384, 9);
  });
});
