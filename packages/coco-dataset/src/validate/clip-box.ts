import type { CocoImage } from "../document.js";
import type { BoxXywh } from "../types.js";

/** What of a `[x, y, width, height]` box lies inside its image; a side <= 0 where nothing does. */
export function clipBox([x, y, w, h]: BoxXywh, { width, height }: CocoImage): BoxXywh {
  const left = Math.max(0, x);
  const top = Math.max(0, y);
  return [left, top, Math.min(width, x + w) - left, Math.min(height, y + h) - top];
}
