import type { Affine } from "@seg/augment";

/** Where a picture lies on a network's input: scale, then offset in network pixels. */
export interface Placement {
  readonly scaleX: number;
  readonly scaleY: number;
  readonly padL: number;
  readonly padT: number;
}

/** Image pixels -> cells of a map of `strideX` by `strideY` network pixels a cell. */
export function mapToCells({ scaleX, scaleY, padL, padT }: Placement, strideX: number, strideY = strideX): Affine {
  return [scaleX / strideX, 0, padL / strideX, 0, scaleY / strideY, padT / strideY];
}
