import { CounterRandom } from "@seg/augment";
import type { Box, RgbImage } from "@seg/coco-dataset";
import {
  type Canvas,
  type Coverage,
  composite,
  dropShadow,
  maskArea,
  maskBox,
  type Placement,
  type Rgb,
  rasterize,
  strokeCoverage,
  toImage,
  toMask,
} from "./canvas.js";
import { blob, drawShape, type Inside, randomPolygon, SHAPE_KINDS } from "./shapes.js";
import {
  COLOUR_KINDS,
  clutterLines,
  contrast,
  drawColour,
  drawTexture,
  finish,
  flat,
  paintBackground,
  TEXTURE_KINDS,
} from "./surface.js";

/** One object of a synthetic scene. */
export interface SceneInstance {
  /** What it is, for reports: a shape kind, `polygon`, `panel`, or a class of another generator. */
  readonly kind: string;
  /** Visible pixels, row-major [side, side], 0 or 1. */
  readonly mask: Uint8Array;
  /** Tight box of `mask`. */
  readonly box: Box;
}

/** A synthetic picture with the shapes in it. */
export interface Scene {
  readonly image: RgbImage;
  readonly instances: readonly SceneInstance[];
}

/** Which scene to draw; the same key gives the same bytes. */
export interface SceneKey {
  readonly seed: number;
  /** Disjoint streams: training never sees what evaluation does. */
  readonly split: "train" | "held-out";
  readonly index: number;
  /** @defaultValue 128 */
  readonly side?: number;
  /**
   * Share of the figures that are drawn small (radius 3 to 8.5 % of the side, decals 8 to 25 % of their parent's), half of those thin: what a network
   * on 8-pixel patches finds hardest. Another share gives other scenes. @defaultValue 0
   */
  readonly small?: number;
}

/** Objects whose visible part is smaller are not annotated, in pixels. */
const MIN_AREA = 16;
/** Nor those of which less than this share is visible. */
const MIN_VISIBLE = 0.2;
/** Required difference between an object and what lies below, in one channel. */
const MIN_CONTRAST = 28;

interface Draft {
  readonly kind: string;
  readonly mask: Uint8Array;
  readonly fullArea: number;
  /** Null for objects that lie on the background. */
  readonly parent: Draft | null;
  readonly placement: Placement;
}

/**
 * A scene of the synthetic shape world on which the small SAM learns: 2 to 8 textured objects on a cluttered background. Later objects hide
 * earlier ones, except decals: these are drawn inside a parent whose mask stays whole, as a label belongs to its bag.
 */
export function shapeScene({ seed, split, index, side = 128, small = 0 }: SceneKey): Scene {
  const random = new CounterRandom({ seed, path: `shape-world/${split}`, index });
  const canvas: Canvas = { side, data: new Float32Array(side * side * 3) };
  const background = paintBackground(canvas, random);
  if (random.uniform() < 0.4) clutterLines(canvas, random, random.integer(1, 6));
  const drafts: Draft[] = [];
  const count = random.integer(2, 8);
  for (let i = 0; i < count; i++) {
    const parents = drafts.filter((draft) => draft.parent === null && maskArea(draft.mask) > side * side * 0.015);
    const decal = random.uniform() < 0.35 && parents.length > 0;
    const parent = decal ? parents[random.integer(0, parents.length - 1)]! : null;
    // Decided without a draw where nothing is to be small: those scenes keep their bytes.
    const isSmall = small > 0 && random.uniform() < small;
    const draft = addObject({ canvas, background, drafts, parent, isSmall, random });
    if (draft) drafts.push(draft);
  }
  if (random.uniform() < 0.25) clutterLines(canvas, random, random.integer(1, 4));
  finish(canvas, random);
  const instances: SceneInstance[] = [];
  for (const { kind, mask, fullArea } of drafts) {
    const area = maskArea(mask);
    const box = maskBox(mask, side);
    if (box && area >= MIN_AREA && area >= MIN_VISIBLE * fullArea) instances.push({ kind, mask, box });
  }
  return { image: toImage(canvas), instances };
}

function addObject({
  canvas,
  background,
  drafts,
  parent,
  isSmall,
  random,
}: {
  canvas: Canvas;
  background: Rgb;
  drafts: readonly Draft[];
  parent: Draft | null;
  isSmall: boolean;
  random: CounterRandom;
}): Draft | null {
  const { side } = canvas;
  const { kind, inside, placement } = parent
    ? decalFigure(parent, side, isSmall, random)
    : freeFigure(side, isSmall, random);
  let coverage = rasterize(side, inside, placement);
  if (parent) coverage = clip(coverage, parent.mask);
  const mask = toMask(coverage);
  const fullArea = maskArea(mask);
  if (fullArea < MIN_AREA) return null;

  const below = meanColour(canvas, mask, fullArea);
  let colour = drawColour(COLOUR_KINDS[random.integer(0, COLOUR_KINDS.length - 1)]!, random);
  for (let attempt = 0; attempt < 12; attempt++) {
    if (contrast(colour, below) > MIN_CONTRAST && (parent || contrast(colour, background) > MIN_CONTRAST)) break;
    colour = drawColour(COLOUR_KINDS[random.integer(0, COLOUR_KINDS.length - 1)]!, random);
  }
  const texture = random.uniform() < 0.5 ? "plain" : TEXTURE_KINDS[random.integer(1, 3)]!;
  // Drawn in any case, so that one decision does not shift the numbers of the next.
  const alpha = random.uniform(0.55, 1);
  const isTranslucent = random.uniform() < 0.3;
  const shadow = {
    dx: random.integer(-4, 4),
    dy: random.integer(1, 5),
    blur: random.integer(1, 3),
    strength: random.uniform(0.15, 0.5),
  };
  if (random.uniform() < 0.3 && !parent) dropShadow(canvas, coverage, shadow);
  composite(canvas, coverage, drawTexture(texture, colour, random, side), isTranslucent ? alpha : 1);
  if (random.uniform() < 0.3) textStrokes(canvas, mask, placement, colour, random);
  hide(drafts, mask, parent);
  return { kind, mask, fullArea, parent, placement };
}

/** Removes the new object's pixels from what lies below. A parent keeps those of its own decal. */
function hide(drafts: readonly Draft[], mask: Uint8Array, parent: Draft | null): void {
  for (const draft of drafts) {
    if (draft === parent) continue;
    for (let i = 0; i < mask.length; i++) if (mask[i] === 1) draft.mask[i] = 0;
  }
}

interface Figure {
  readonly kind: string;
  readonly inside: Inside;
  readonly placement: Placement;
}

/** Shapes that leave most of their box empty. */
const THIN_KINDS = ["bar", "ring", "cross"] as const;

function figure(isSmall: boolean, random: CounterRandom): { kind: string; inside: Inside } {
  if (isSmall && random.uniform() < 0.5) {
    const kind = THIN_KINDS[random.integer(0, THIN_KINDS.length - 1)]!;
    return { kind, inside: drawShape(kind, random) };
  }
  if (random.uniform() < 0.35) {
    return random.uniform() < 0.5
      ? { kind: "polygon", inside: randomPolygon(random) }
      : { kind: "blob", inside: blob(random, 1.4) };
  }
  const kind = SHAPE_KINDS[random.integer(0, SHAPE_KINDS.length - 1)]!;
  return { kind, inside: drawShape(kind, random) };
}

function freeFigure(side: number, isSmall: boolean, random: CounterRandom): Figure {
  const isPanel = random.uniform() < 0.1 && !isSmall;
  const usual = side * (random.uniform() < 0.8 ? random.uniform(0.05, 0.2) : random.uniform(0.2, 0.4));
  const radius = isSmall ? side * random.uniform(0.03, 0.085) : usual;
  const margin = Math.min(radius * 0.6, side * 0.2);
  const x = random.uniform(margin, side - margin);
  const y = random.uniform(margin, side - margin);
  if (isPanel) {
    const aspect = random.uniform(0.3, 1);
    const wide = random.uniform() < 0.5;
    const inside: Inside = (u, v) => Math.abs(wide ? u : v) <= 1 && Math.abs(wide ? v : u) <= aspect;
    return { kind: "panel", inside, placement: { x, y, radius: Math.max(radius, side * 0.12), angle: 0 } };
  }
  return { ...figure(isSmall, random), placement: { x, y, radius, angle: random.uniform(0, 2 * Math.PI) } };
}

/** A figure of .2 to .55 of the parent's radius around one of its visible pixels. */
function decalFigure(parent: Draft, side: number, isSmall: boolean, random: CounterRandom): Figure {
  const pixels: number[] = [];
  for (let i = 0; i < parent.mask.length; i++) if (parent.mask[i] === 1) pixels.push(i);
  const at = pixels[random.integer(0, pixels.length - 1)]!;
  // Half way towards the parent's centre: most decals lie fully inside.
  const pull = random.uniform(0.2, 0.9);
  const x = (at % side) + 0.5 + (parent.placement.x - (at % side)) * pull;
  const y = Math.floor(at / side) + 0.5 + (parent.placement.y - Math.floor(at / side)) * pull;
  const share = isSmall ? random.uniform(0.08, 0.25) : random.uniform(0.2, 0.55);
  const radius = Math.max(parent.placement.radius * share, 3);
  return { ...figure(isSmall, random), placement: { x, y, radius, angle: random.uniform(0, 2 * Math.PI) } };
}

function clip(coverage: Coverage, mask: Uint8Array): Coverage {
  for (let i = 0; i < mask.length; i++) if (mask[i] === 0) coverage.data[i] = 0;
  return coverage;
}

function meanColour({ data }: Canvas, mask: Uint8Array, area: number): Rgb {
  const sum: [number, number, number] = [0, 0, 0];
  for (let i = 0; i < mask.length; i++) {
    if (mask[i] === 1) for (let c = 0; c < 3; c++) sum[c]! += data[3 * i + c]!;
  }
  return [sum[0] / area, sum[1] / area, sum[2] / area];
}

/** Rows of short dark or light dashes, like print, inside the object. */
export function textStrokes(
  canvas: Canvas,
  mask: Uint8Array,
  { x, y, radius, angle }: Placement,
  colour: Rgb,
  random: CounterRandom,
): void {
  const { side } = canvas;
  const isDark = (colour[0] + colour[1] + colour[2]) / 3 < 127;
  const level = isDark ? random.uniform(170, 250) : random.uniform(5, 90);
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const rows = random.integer(1, 3);
  const height = (radius * random.uniform(0.25, 0.45)) / rows;
  for (let row = 0; row < rows; row++) {
    const v = (row - (rows - 1) / 2) * 2 * height;
    let u = -radius * random.uniform(0.4, 0.7);
    while (u < radius * 0.6) {
      const length = random.uniform(0.08, 0.3) * radius;
      const tilt = random.uniform(-0.4, 0.4) * height;
      const stroke = strokeCoverage(
        side,
        [
          x + u * cos - v * sin,
          y + u * sin + v * cos,
          x + (u + length) * cos - (v + tilt) * sin,
          y + (u + length) * sin + (v + tilt) * cos,
        ],
        Math.max(0.8, Math.min(height * 0.5, 2)),
      );
      composite(canvas, clip(stroke, mask), flat([level, level, level]), 0.85);
      u += length + random.uniform(0.08, 0.2) * radius;
    }
  }
}
