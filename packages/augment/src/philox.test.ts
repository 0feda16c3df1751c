import { describe, expect, test } from "vitest";
import { CounterRandom, fnv1a32, philox4x32 } from "./philox.js";

const hex = (words: readonly number[]) => words.map((w) => w.toString(16).padStart(8, "0")).join(" ");
const first = (path: string, at: { epoch?: number; index?: number } = {}) => {
  const random = new CounterRandom({ seed: 42, path, ...at });
  return hex([random.uint32(), random.uint32(), random.uint32(), random.uint32()]);
};

/** Known-answer vectors of the Random123 library (kat_vectors, philox4x32 10). */
test("philox4x32 gives the published vectors", () => {
  const ones = 0xffffffff;
  expect(hex(philox4x32([0, 0, 0, 0], [0, 0]))).toBe("6627e8d5 e169c58d bc57ac4c 9b00dbd8");
  expect(hex(philox4x32([ones, ones, ones, ones], [ones, ones]))).toBe("408f276d 41c83b0e a20bc7c6 6d5451fd");
  expect(hex(philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]))).toBe(
    "d16cfe09 94fdcceb 5001e420 24126ea1",
  );
});

test("fnv1a32 gives the published values", () => {
  expect(hex([fnv1a32("foobar"), fnv1a32("Affine#0"), fnv1a32("HorizontalFlip#0")])).toBe("bf9cf968 c103f91d 889669e1");
});

describe("CounterRandom", () => {
  test("reads seed, path, epoch and index as the specification says", () => {
    expect(first("Affine#0")).toBe("a73bfd20 3a76044c a78b78fb 6041da31");
    expect(first("Affine#0", { index: 1 })).toMatch(/^b097d89e/);
    expect(first("Affine#0", { epoch: 1 })).toMatch(/^ee2d572a/);
    expect(first("HorizontalFlip#0")).toMatch(/^39165864/);
    expect(new CounterRandom({ seed: 42, path: "Affine#0" }).uniform()).toBeCloseTo(0.653259106, 9);
  });
  test("the high half of a large seed counts", () => {
    const at = (seed: number) => new CounterRandom({ seed, path: "x" }).uint32();
    expect(at(5)).not.toBe(at(5 + 2 ** 32));
    expect(() => at(2 ** 53)).toThrowError(RangeError);
    expect(() => at(-1)).toThrowError(RangeError);
  });
  test("integers cover both ends, permutations hold every number", () => {
    const random = new CounterRandom({ seed: 1, path: "x" });
    const seen = new Set(Array.from({ length: 200 }, () => random.integer(-1, 2)));
    expect([...seen].sort((a, b) => a - b)).toEqual([-1, 0, 1, 2]);
    expect([...random.permutation(9)].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });
  test("uniform and normal have their moments", () => {
    const random = new CounterRandom({ seed: 3, path: "x" });
    const n = 20000;
    let sum = 0;
    let normal = 0;
    let squares = 0;
    for (let i = 0; i < n; i++) {
      sum += random.uniform();
      const z = random.normal();
      normal += z;
      squares += z * z;
    }
    // Four standard errors.
    expect(Math.abs(sum / n - 0.5)).toBeLessThan((4 * Math.sqrt(1 / 12)) / Math.sqrt(n));
    expect(Math.abs(normal / n)).toBeLessThan(4 / Math.sqrt(n));
    expect(Math.abs(squares / n - 1)).toBeLessThan((4 * Math.SQRT2) / Math.sqrt(n));
  });
});
