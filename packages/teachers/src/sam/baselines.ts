import type { Box } from "@seg/coco-dataset";

/** |A and B| / |A or B| of two bitmaps (non-zero is inside) of the same length; 0 when both are empty. */
export function bitmapIou(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let both = 0;
  let either = 0;
  for (let i = 0; i < a.length; i++) {
    const inA = a[i]! > 0;
    const inB = b[i]! > 0;
    if (inA && inB) both++;
    if (inA || inB) either++;
  }
  return either === 0 ? 0 : both / either;
}

/**
 * The trivial answer to a box prompt: the whole box, or the ellipse inscribed in it, by pixel centres. A mask model that does not beat the
 * better of the two on average has learnt nothing about shape.
 */
export function trivialMask({
  kind,
  box: [x1, y1, x2, y2],
  width,
  height,
}: {
  readonly kind: "filledBox" | "ellipse";
  readonly box: Box;
  readonly width: number;
  readonly height: number;
}): Uint8Array {
  const result = new Uint8Array(width * height);
  const centreX = (x1 + x2) / 2;
  const centreY = (y1 + y2) / 2;
  const radiusX = Math.max((x2 - x1) / 2, 1e-9);
  const radiusY = Math.max((y2 - y1) / 2, 1e-9);
  for (let y = Math.max(0, Math.floor(y1)); y < Math.min(height, Math.ceil(y2)); y++) {
    for (let x = Math.max(0, Math.floor(x1)); x < Math.min(width, Math.ceil(x2)); x++) {
      const dx = (x + 0.5 - centreX) / radiusX;
      const dy = (y + 0.5 - centreY) / radiusY;
      const inside = kind === "filledBox" ? dx >= -1 && dx < 1 && dy >= -1 && dy < 1 : dx * dx + dy * dy <= 1;
      if (inside) result[y * width + x] = 1;
    }
  }
  return result;
}
