import { z } from "zod";

/** `[low, high]`, both finite, low <= high, within limits. */
export type Range = readonly [low: number, high: number];

const span = (min: number, max: number): string =>
  Number.isFinite(max) ? `[${min}, ${max}]` : Number.isFinite(min) ? `at least ${min}` : "finite numbers";

/** A range of numbers that a value is drawn from; a scalar is refused, its meaning differs from library to library. */
export const range = (min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY) => {
  const expected = `expected [low, high] with low <= high, ${span(min, max)}`;
  return z
    .tuple([z.number(expected), z.number(expected)], expected)
    .refine(
      ([low, high]) => Number.isFinite(low) && Number.isFinite(high) && low <= high && low >= min && high <= max,
      {
        error: expected,
      },
    )
    .readonly();
};

/** Like {@link range}, of whole numbers. */
export const integerRange = (min: number, max = Number.POSITIVE_INFINITY) =>
  range(min, max).refine(([low, high]) => Number.isInteger(low) && Number.isInteger(high), {
    error: "expected whole numbers",
  });

export const number = (min: number, max = Number.POSITIVE_INFINITY) => {
  const error = `expected a number, ${span(min, max)}`;
  return z.number(error).min(min, error).max(max, error);
};

export const integer = (min: number, max = Number.MAX_SAFE_INTEGER) => number(min, max).int("expected a whole number");

export const probability = number(0, 1);

/** One level per channel, or one for all. */
export const fillColor = z.union([number(0, 255), z.array(number(0, 255)).min(1)], {
  error: "expected a level 0..255 or a list of one per channel",
});
export type FillColor = number | readonly number[];
