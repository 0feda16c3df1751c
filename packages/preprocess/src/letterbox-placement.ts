import type { Placement } from "./geometry.js";
import { pyRound } from "./rounding.js";

/** What {@link letterboxPlacement} needs; the options are those of `letterboxGeometry`. */
export interface LetterboxPlace {
  width: number;
  height: number;
  fullW: number;
  fullH: number;
  auto?: boolean;
  scaleFill?: boolean;
  scaleup?: boolean;
  center?: boolean;
  stride?: number;
}

/**
 * Where YOLO's letterbox puts a picture: r = min(S/h, S/w), content = pyRound(side * r), padding halved with the odd pixel at the
 * bottom and right (pyRound(d -+ 0.1)).
 */
export function letterboxPlacement({
  width,
  height,
  fullW,
  fullH,
  auto = false,
  scaleFill = false,
  scaleup = true,
  center = true,
  stride = 32,
}: LetterboxPlace): Placement {
  let ratio = Math.min(fullH / height, fullW / width);
  if (!scaleup) ratio = Math.min(ratio, 1);
  let contentW = pyRound(width * ratio);
  let contentH = pyRound(height * ratio);
  let dw = fullW - contentW;
  let dh = fullH - contentH;
  if (auto) {
    dw %= stride;
    dh %= stride;
  } else if (scaleFill) {
    contentW = fullW;
    contentH = fullH;
    dw = 0;
    dh = 0;
  }
  const padL = center ? pyRound(dw / 2 - 0.1) : 0;
  const padT = center ? pyRound(dh / 2 - 0.1) : 0;
  const [netW, netH] = [contentW + dw, contentH + dh];
  return {
    contentW,
    contentH,
    padL,
    padT,
    padR: netW - contentW - padL,
    padB: netH - contentH - padT,
    netW,
    netH,
  };
}
