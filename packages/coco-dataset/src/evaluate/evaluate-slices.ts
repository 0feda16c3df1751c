import type { CocoImage } from "../document.js";
import { EvalInputError } from "../errors.js";
import { type EvalResult, type EvaluateOptions, evaluate } from "./evaluate.js";

/**
 * The evaluation repeated on the images of each value of an attribute, for example day and night.
 *
 * @param options.by - a key of the image records, or a function; images without a value are in no slice
 * @returns results by value, values in ascending order
 * @throws EvalInputError as `evaluate`, or when no image has a value
 */
export function evaluateSlices({
  by,
  ...options
}: EvaluateOptions & { by: string | ((image: CocoImage) => string | number | null) }): Readonly<
  Record<string, EvalResult>
> {
  const { groundTruth, params = {} } = options;
  const wanted = params.imageIds === undefined ? null : new Set(params.imageIds);
  const slices = new Map<string, number[]>();
  for (const image of groundTruth.images) {
    const value = typeof by === "string" ? image[by] : by(image);
    if (value === undefined || value === null || wanted?.has(image.id) === false) continue;
    const list = slices.get(String(value));
    if (list === undefined) slices.set(String(value), [image.id]);
    else list.push(image.id);
  }
  if (slices.size === 0) {
    const what = typeof by === "string" ? `the key "${by}"` : "a value";
    throw new EvalInputError({ subject: "params", message: `No image has ${what} to slice by.` });
  }
  return Object.fromEntries(
    [...slices]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([value, imageIds]) => [value, evaluate({ ...options, params: { ...params, imageIds } })]),
  );
}
