import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { channelsLast, permuteValues, reshapedLayout, transposedLayout } from "./layout.js";

describe("reshapedLayout", () => {
  test.each([
    [
      [1, 64, 4, 4],
      [1, 64, 16],
      [0, 2, 3, 1],
      [0, 2, 1],
    ],
    [
      [1, 64, 16],
      [1, 4, 16, 16],
      [0, 2, 1],
      [0, 3, 1, 2],
    ],
    [
      [1, 1, 4, 16],
      [1, 4, 16],
      [0, 3, 2, 1],
      [0, 2, 1],
    ],
    [[1, 8, 2, 3], [1, 48], [0, 2, 3, 1], null],
    [[1, 8, 2, 3], [1, 16, 3], [0, 2, 3, 1], null],
    [
      [2, 3],
      [1, 2, 1, 3, 1],
      [0, 1],
      [0, 1, 2, 3, 4],
    ],
  ] as const)("%j to %j from layout %j gives %j", (from, to, layout, expected) => {
    const result = reshapedLayout({ from, to, layout });
    if (expected === null) expect(result).toBeNull();
    // Axes of size 1 may stand anywhere: what counts is the order of the others.
    else expect(result!.filter((axis) => to[axis]! > 1)).toEqual(expected.filter((axis) => to[axis]! > 1));
  });

  test("data that stays where it is means the same before and after", () => {
    const shape = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(shape, fc.integer({ min: 0, max: 23 }), fc.nat(), (from, order, cut) => {
        const layout = permutation(from.length, order);
        // Merges two neighbours, or splits off a 1.
        const at = cut % from.length;
        const to =
          at + 1 < from.length && cut % 2 === 0
            ? [...from.slice(0, at), from[at]! * from[at + 1]!, ...from.slice(at + 2)]
            : [...from.slice(0, at), 1, ...from.slice(at)];
        const kept = reshapedLayout({ from, to, layout });
        if (kept === null) return;
        const values = Float32Array.from({ length: from.reduce((a, b) => a * b, 1) }, (_, i) => i);
        expect(permuteValues(values, to, kept)).toEqual(permuteValues(values, from, layout));
      }),
    );
  });
});

describe("transposedLayout", () => {
  test("a transpose only renames axes", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 23 }), (a, b) => {
        const shape = [2, 3, 4, 5];
        const [perm, layout] = [permutation(4, a), permutation(4, b)];
        const values = Float32Array.from({ length: 120 }, (_, i) => i);
        const transposed = permuteValues(values, shape, perm);
        const sizes = perm.map((axis) => shape[axis]!);
        expect(permuteValues(transposed, sizes, transposedLayout(layout, perm))).toEqual(
          permuteValues(values, shape, layout),
        );
      }),
    );
  });

  test("channelsLast", () => {
    expect([2, 3, 4].map(channelsLast)).toEqual([
      [0, 1],
      [0, 2, 1],
      [0, 2, 3, 1],
    ]);
  });
});

/** The permutation with this number, of factorially many. */
function permutation(rank: number, number: number): number[] {
  const left = Array.from({ length: rank }, (_, i) => i);
  return Array.from({ length: rank }, (_, i) => left.splice(number % (rank - i), 1)[0]!);
}
