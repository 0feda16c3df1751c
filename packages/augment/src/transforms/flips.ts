import { z } from "zod";
import type { GeometricTransform } from "../core/transform.js";

type None = Readonly<Record<string, never>>;
const none = z.strictObject({}) as unknown as z.ZodType<None>;

/** x' = W - x. */
export const HorizontalFlip: GeometricTransform<None, None> = {
  type: "HorizontalFlip",
  kind: "geometric",
  isFlip: true,
  schema: none,
  keys: [],
  sample: () => ({}),
  matrix: (_, { width }) => [-1, 0, width, 0, 1, 0, 0, 0, 1],
};

/** y' = H - y. */
export const VerticalFlip: GeometricTransform<None, None> = {
  type: "VerticalFlip",
  kind: "geometric",
  isFlip: true,
  schema: none,
  keys: [],
  sample: () => ({}),
  matrix: (_, { height }) => [1, 0, 0, 0, -1, height, 0, 0, 1],
};
