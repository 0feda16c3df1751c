import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { minimumCostAssignment } from "./minimum-cost-assignment.js";

/** Smallest sum over all ways to pair, by trying them. */
function bruteForce(costs: readonly number[], rows: number, columns: number): number {
  if (rows > columns) {
    const turned = Array.from({ length: costs.length }, (_, i) => costs[(i % rows) * columns + Math.floor(i / rows)]!);
    return bruteForce(turned, columns, rows);
  }
  const search = (row: number, used: number): number => {
    if (row === rows) return 0;
    let best = Number.POSITIVE_INFINITY;
    for (let column = 0; column < columns; column++) {
      if (used & (1 << column)) continue;
      best = Math.min(best, costs[row * columns + column]! + search(row + 1, used | (1 << column)));
    }
    return best;
  };
  return search(0, 0);
}

const matrix = fc.tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 })).chain(([rows, columns]) =>
  fc.record({
    rows: fc.constant(rows),
    columns: fc.constant(columns),
    costs: fc.array(fc.integer({ min: -9, max: 9 }), { minLength: rows * columns, maxLength: rows * columns }),
  }),
);

describe("minimumCostAssignment", () => {
  test("nothing to pair", () => {
    expect([...minimumCostAssignment([], 0, 5)]).toEqual([]);
    expect([...minimumCostAssignment([], 3, 0)]).toEqual([-1, -1, -1]);
  });

  test("takes the best sum, not the best row", () => {
    expect([...minimumCostAssignment([1, 2, 1, 9], 2, 2)]).toEqual([1, 0]);
    expect([...minimumCostAssignment([4, 1, 3, 2, 0, 5], 2, 3)]).toEqual([1, 0]);
  });

  test("equal costs go to the lower index", () => {
    expect([...minimumCostAssignment(new Float64Array(12), 3, 4)]).toEqual([0, 1, 2]);
    expect([...minimumCostAssignment([5, 2, 2, 2], 1, 4)]).toEqual([1]);
  });

  test("more rows than columns leave rows without one", () => {
    expect([...minimumCostAssignment([3, 1, 2], 3, 1)]).toEqual([-1, 0, -1]);
  });

  test("refuses wrong lengths and values that are not finite", () => {
    expect(() => minimumCostAssignment([1, 2, 3], 2, 2)).toThrow(RangeError);
    expect(() => minimumCostAssignment([1, Number.NaN], 1, 2)).toThrow(/Cost 1 is NaN/);
  });

  test("is one to one and as cheap as the best of all pairings", () => {
    fc.assert(
      fc.property(matrix, ({ rows, columns, costs }) => {
        const result = [...minimumCostAssignment(costs, rows, columns)];
        const paired = result.filter((column) => column >= 0);
        expect(paired.length).toBe(Math.min(rows, columns));
        expect(new Set(paired).size).toBe(paired.length);
        const sum = result.reduce((total, column, row) => total + (column < 0 ? 0 : costs[row * columns + column]!), 0);
        expect(sum).toBe(bruteForce(costs, rows, columns));
      }),
      { numRuns: 400 },
    );
  });

  test("a shift of one row's costs changes nothing", () => {
    fc.assert(
      fc.property(matrix, fc.integer({ min: -5, max: 5 }), ({ rows, columns, costs }, shift) => {
        fc.pre(rows <= columns);
        // Distinct costs, so that the best pairing is unique in almost all cases.
        const distinct = costs.map((value, i) => value + Math.sin(i + 1) / 10);
        const shifted = distinct.map((value, i) => (i < columns ? value + shift : value));
        expect(minimumCostAssignment(shifted, rows, columns)).toEqual(minimumCostAssignment(distinct, rows, columns));
      }),
    );
  });
});
