import { z } from "zod";
import { compose, fromQuads, type Homography, scaling, translation } from "../core/homography.js";
import { type Range, range } from "../core/schemas.js";
import { draw, f, type GeometricTransform } from "../core/transform.js";
import type { CounterRandom } from "../philox.js";

const radians = (degrees: number): number => (degrees * Math.PI) / 180;

/** Exact for multiples of 90 degrees. */
function cosSin(degrees: number): [number, number] {
  const turns = degrees / 90;
  if (Number.isInteger(turns)) {
    const quarter = ((turns % 4) + 4) % 4;
    return [
      [1, 0],
      [0, 1],
      [-1, 0],
      [0, -1],
    ][quarter] as [number, number];
  }
  return [Math.cos(radians(degrees)), Math.sin(radians(degrees))];
}

/** T(W/2, H/2) * inner * T(-W/2, -H/2) */
function aboutCentre(inner: Homography, width: number, height: number): Homography {
  return compose(compose(translation(-width / 2, -height / 2), inner), translation(width / 2, height / 2));
}

/** `[[cos, sin], [-sin, cos]]`: positive is counter-clockwise on the screen. */
function rotation(degrees: number): Homography {
  const [cos, sin] = cosSin(degrees);
  return [cos, sin, 0, -sin, cos, 0, 0, 0, 1];
}

/** Scale s = 1 + U(scaleLimit) about the centre of the canvas; the canvas stays (crop or pad). */
export const RandomScale: GeometricTransform<{ scaleLimit: Range }, { scale: number }> = {
  type: "RandomScale",
  kind: "geometric",
  schema: z.strictObject({ scaleLimit: range(-0.95, 9).default([-0.1, 0.1]) }),
  keys: ["scaleLimit"],
  sample: (random, { scaleLimit }) => ({ scale: f(1 + random.uniform(scaleLimit[0], scaleLimit[1])) }),
  matrix: ({ scale }, { width, height }) => aboutCentre(scaling(scale, scale), width, height),
};

interface AffineParams {
  scale: Range;
  translateFrac: Range;
  rotate: Range;
  shearX: Range;
  shearY: Range;
  keepRatio: boolean;
  balancedScale: boolean;
}
interface AffineSampled {
  scaleX: number;
  scaleY: number;
  translateX: number;
  translateY: number;
  rotate: number;
  shearX: number;
  shearY: number;
  readonly [key: string]: number;
}

/** One word decides the side, one the place: shrinking and growing are equally likely whatever the range. */
function drawScale(random: CounterRandom, [low, high]: Range, balanced: boolean): number {
  const side = random.uniform();
  if (balanced && low < 1 && high > 1) return side < 0.5 ? draw(random, [low, 1]) : draw(random, [1, high]);
  return draw(random, [low, high]);
}

/** M = T(c) T(t) Sh R Sc T(-c); Sh: x' = x + tan(shearX) y, y' = y + tan(shearY) x. */
export const Affine: GeometricTransform<AffineParams, AffineSampled> = {
  type: "Affine",
  kind: "geometric",
  schema: z.strictObject({
    scale: range(0.05, 20).default([1, 1]),
    translateFrac: range(-2, 2).default([0, 0]),
    rotate: range(-360, 360).default([0, 0]),
    shearX: range(-80, 80).default([0, 0]),
    shearY: range(-80, 80).default([0, 0]),
    keepRatio: z.boolean().default(true),
    balancedScale: z.boolean().default(true),
  }),
  keys: ["scale", "translateFrac", "rotate", "shearX", "shearY", "keepRatio", "balancedScale"],
  sample(random, params) {
    const scaleX = drawScale(random, params.scale, params.balancedScale);
    const other = drawScale(random, params.scale, params.balancedScale);
    return {
      scaleX,
      scaleY: params.keepRatio ? scaleX : other,
      translateX: draw(random, params.translateFrac),
      translateY: draw(random, params.translateFrac),
      rotate: draw(random, params.rotate),
      shearX: draw(random, params.shearX),
      shearY: draw(random, params.shearY),
    };
  },
  matrix({ scaleX, scaleY, translateX, translateY, rotate, shearX, shearY }, { width, height }) {
    let inner = compose(scaling(scaleX, scaleY), rotation(rotate));
    inner = compose(inner, [1, Math.tan(radians(shearX)), 0, Math.tan(radians(shearY)), 1, 0, 0, 0, 1]);
    inner = compose(inner, translation(translateX * width, translateY * height));
    return aboutCentre(inner, width, height);
  },
};

/**
 * Rotation that keeps everything inside: nw = H |sin| + W |cos|, nh = H |cos| + W |sin|, scaled by min(W / nw, H / nh) (one factor: nothing is
 * distorted) about the centre, padded. `keepAspect: false` scales each axis by its own factor.
 */
export const SafeRotate: GeometricTransform<
  { limit: Range; keepAspect: boolean },
  { angle: number; keepAspect: boolean }
> = {
  type: "SafeRotate",
  kind: "geometric",
  schema: z.strictObject({ limit: range(-360, 360).default([-90, 90]), keepAspect: z.boolean().default(true) }),
  keys: ["limit", "keepAspect"],
  sample: (random, { limit, keepAspect }) => ({ angle: draw(random, limit), keepAspect }),
  matrix({ angle, keepAspect }, { width, height }) {
    const [cos, sin] = cosSin(angle);
    const scaleX = width / (height * Math.abs(sin) + width * Math.abs(cos));
    const scaleY = height / (height * Math.abs(cos) + width * Math.abs(sin));
    const scale = Math.min(scaleX, scaleY);
    const shrink = keepAspect ? scaling(scale, scale) : scaling(scaleX, scaleY);
    return aboutCentre(compose(rotation(angle), shrink), width, height);
  },
};

/** A corner moves by at most this share: opposite corners cannot meet. */
const MAX_INSET = 0.32;
/** Smallest w' of the map in the frame. */
const MIN_W = 0.05;

/** Convex and mapped without a horizon inside the frame; null otherwise. */
function perspectiveMap(insets: readonly number[], width: number, height: number): Homography | null {
  const quad = [
    insets[0]! * width,
    insets[1]! * height,
    width - insets[2]! * width,
    insets[3]! * height,
    width - insets[4]! * width,
    height - insets[5]! * height,
    insets[6]! * width,
    height - insets[7]! * height,
  ];
  for (let k = 0; k < 4; k++) {
    const [ax, ay] = [quad[2 * k]!, quad[2 * k + 1]!];
    const [bx, by] = [quad[(2 * k + 2) % 8]!, quad[(2 * k + 3) % 8]!];
    const [cx, cy] = [quad[(2 * k + 4) % 8]!, quad[(2 * k + 5) % 8]!];
    if (!((bx - ax) * (cy - by) - (by - ay) * (cx - bx) > 0)) return null;
  }
  const map = fromQuads(quad, [0, 0, width, 0, width, height, 0, height]);
  if (map === null) return null;
  // w is linear: its smallest value in the frame lies in a corner.
  const w = (x: number, y: number) => map[6] * x + map[7] * y + map[8];
  const least = Math.min(w(0, 0), w(width, 0), w(0, height), w(width, height));
  return least > MIN_W ? map : null;
}

/**
 * Every corner moves inwards by min(|N(0, s)|, 0.32) of W and H, s ~ U(scale); the quad is stretched to the canvas by one homography. Drawn anew up to ten times
 * when the quad is not convex.
 */
export const Perspective: GeometricTransform<{ scale: Range }, { insets: readonly number[] }> = {
  type: "Perspective",
  kind: "geometric",
  schema: z.strictObject({ scale: range(0, 1).default([0.05, 0.1]) }),
  keys: ["scale"],
  sample(random, { scale }, { width, height, note }) {
    for (let attempt = 0; attempt < 10; attempt++) {
      const s = random.uniform(scale[0], scale[1]);
      const insets = Array.from({ length: 8 }, () => f(Math.min(Math.abs(random.normal(0, s)), MAX_INSET)));
      if (perspectiveMap(insets, width, height) !== null) return { insets };
    }
    note("no convex quad in 10 tries: identity");
    return null;
  },
  matrix({ insets }, { width, height }) {
    return perspectiveMap(insets, width, height) ?? [1, 0, 0, 0, 1, 0, 0, 0, 1];
  },
};
