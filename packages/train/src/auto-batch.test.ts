import fc from "fast-check";
import { expect, test } from "vitest";
import { autoBatch } from "./auto-batch.js";

const MB = 1e6;

test("takes the largest power of two within the budget", async () => {
  const asked: number[] = [];
  const bytesOf = (batch: number) => {
    asked.push(batch);
    return (100 + 50 * batch) * MB;
  };
  expect(await autoBatch({ bytesOf, budgetBytes: 1000 * MB })).toEqual({
    batch: 16,
    bytes: 900 * MB,
    bytesPerImage: 50 * MB,
  });
  expect(asked).toEqual([1, 2]);
  expect((await autoBatch({ bytesOf, budgetBytes: 1e15 })).batch).toBe(64);
  expect((await autoBatch({ bytesOf, budgetBytes: 1e15, max: 24 })).batch).toBe(16);
  expect((await autoBatch({ bytesOf, budgetBytes: 1 })).batch).toBe(1);
});

test("never leaves the budget, and the next power of two would, unless it is at an end", () =>
  fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 4000 }),
      fc.integer({ min: 1, max: 500 }),
      fc.integer({ min: 1, max: 30000 }),
      async (fixed, perImage, budgetBytes) => {
        const bytesOf = (batch: number) => fixed + perImage * batch;
        const { batch, bytes } = await autoBatch({ bytesOf, budgetBytes });
        expect(bytes).toBe(bytesOf(batch));
        if (batch > 1) expect(bytes).toBeLessThanOrEqual(budgetBytes);
        if (batch < 64) expect(bytesOf(2 * batch)).toBeGreaterThan(budgetBytes);
      },
    ),
  ));
