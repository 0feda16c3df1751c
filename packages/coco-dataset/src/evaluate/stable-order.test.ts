import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { byFallingScore, byRank, identityOrder } from "./stable-order.js";

describe("byFallingScore", () => {
  const scores = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(0, -0, 0.5, 1, -1, 1e-310, 0.1 + 0.2, 0.3),
  );
  test("is the stable sort, by digits as well as by comparison", () => {
    // Above 4,096 entries the digits are sorted.
    const lists = fc.tuple(fc.array(scores, { minLength: 1, maxLength: 60 }), fc.constantFrom(1, 4500));
    fc.assert(
      fc.property(lists, ([list, minimum]) => {
        const values = Float64Array.from(
          { length: Math.max(list.length, minimum) },
          (_, i) => list[(i * 7 + (i >> 3)) % list.length]!,
        );
        const order = identityOrder(values.length).reverse();
        const before = order.slice();
        const expected = Array.from(order).sort((a, b) => values[b]! - values[a]!);
        expect(Array.from(byFallingScore(order, values))).toEqual(expected);
        expect(order).toEqual(before);
      }),
      { numRuns: 60 },
    );
  });
});

describe("byRank", () => {
  test("keeps the order within a rank and leaves out -1", () => {
    expect(Array.from(byRank(Int32Array.of(4, 3, 2, 1, 0), Int32Array.of(1, 0, -1, 1, 0), 2))).toEqual([4, 1, 3, 0]);
    expect(byRank(new Int32Array(0), new Int32Array(0), 0).length).toBe(0);
  });
});
