import { CounterRandom } from "@seg/augment";
import type { RgbImage } from "@seg/coco-dataset";
import { type Attributes, isHeldOutCombination } from "./attributes.js";
import {
  type Canvas,
  composite,
  dropShadow,
  maskArea,
  maskBox,
  type Placement,
  type Rgb,
  rasterize,
  toImage,
  toMask,
} from "./canvas.js";
import type { SceneInstance } from "./shape-world.js";
import { drawShape, SHAPE_KINDS } from "./shapes.js";
import {
  COLOUR_KINDS,
  clutterLines,
  contrast,
  drawColour,
  drawTexture,
  finish,
  paintBackground,
  TEXTURE_KINDS,
} from "./surface.js";

/** An object with the words that describe it. `mask` and `box` are of its visible part. */
export interface DetectorInstance extends SceneInstance, Attributes {}

/** A synthetic picture with the named objects in it. */
export interface DetectorScene {
  readonly image: RgbImage;
  readonly instances: readonly DetectorInstance[];
}

/** Which detector scene to draw; the same key gives the same bytes. */
export interface DetectorSceneKey {
  readonly seed: number;
  /** Disjoint streams. `combinations`: at least one object is of a pair that training never sees, see {@link isHeldOutCombination}. */
  readonly split: "train" | "held-out" | "combinations";
  readonly index: number;
  /** Pixels. @defaultValue 128 */
  readonly side?: number;
}

/** Required difference to the background in one channel: a colour word must be readable. */
const MIN_CONTRAST = 50;
/** An object may hide at most this share of another. */
const MAX_HIDDEN = 0.4;
const MIN_AREA = 24;
const PLACEMENT_ATTEMPTS = 12;

interface Draft extends Attributes {
  readonly mask: Uint8Array;
  readonly fullArea: number;
}

/**
 * A scene on which the small Grounding DINO learns: 2 to 7 objects, each a shape with a colour and a texture, on a cluttered background; no object
 * hides more than 40 % of another.
 */
export function detectorScene({ seed, split, index, side = 128 }: DetectorSceneKey): DetectorScene {
  const random = new CounterRandom({ seed, path: `detector-world/${split}`, index });
  const canvas: Canvas = { side, data: new Float32Array(side * side * 3) };
  const background = paintBackground(canvas, random);
  if (random.uniform() < 0.4) clutterLines(canvas, random, random.integer(1, 6));
  const drafts: Draft[] = [];
  const count = random.integer(2, 7);
  for (let i = 0; i < count; i++) {
    const wantsHeldOut = split === "combinations" && (i === 0 || random.uniform() < 0.4);
    const draft = addObject({ canvas, background, drafts, wantsHeldOut, random });
    if (draft) drafts.push(draft);
  }
  if (random.uniform() < 0.25) clutterLines(canvas, random, random.integer(1, 4));
  finish(canvas, random);
  const instances: DetectorInstance[] = [];
  for (const { colour, texture, shape, mask } of drafts) {
    const box = maskBox(mask, side);
    if (box && maskArea(mask) >= MIN_AREA) instances.push({ kind: shape, colour, texture, shape, mask, box });
  }
  return { image: toImage(canvas), instances };
}

function addObject({
  canvas,
  background,
  drafts,
  wantsHeldOut,
  random,
}: {
  readonly canvas: Canvas;
  readonly background: Rgb;
  readonly drafts: readonly Draft[];
  readonly wantsHeldOut: boolean;
  readonly random: CounterRandom;
}): Draft | null {
  const { side } = canvas;
  const { colour, rgb, texture, shape } = drawAttributes(background, wantsHeldOut, random);
  for (let attempt = 0; attempt < PLACEMENT_ATTEMPTS; attempt++) {
    const radius = side * (random.uniform() < 0.82 ? random.uniform(0.05, 0.2) : random.uniform(0.2, 0.4));
    const margin = Math.min(radius * 0.6, side * 0.2);
    const placement: Placement = {
      x: random.uniform(margin, side - margin),
      y: random.uniform(margin, side - margin),
      radius,
      angle: random.uniform(0, 2 * Math.PI),
    };
    const coverage = rasterize(side, drawShape(shape, random), placement);
    const mask = toMask(coverage);
    const fullArea = maskArea(mask);
    if (fullArea < MIN_AREA || drafts.some((other) => hiddenShare(other, mask) > MAX_HIDDEN)) continue;
    if (random.uniform() < 0.3) {
      const shift = { dx: random.integer(-4, 4), dy: random.integer(1, 5), blur: random.integer(1, 3) };
      dropShadow(canvas, coverage, { ...shift, strength: random.uniform(0.15, 0.5) });
    }
    composite(canvas, coverage, drawTexture(texture, rgb, random, side));
    for (const other of drafts) for (let i = 0; i < mask.length; i++) if (mask[i] === 1) other.mask[i] = 0;
    return { colour, texture, shape, mask, fullArea };
  }
  return null;
}

/** Attributes of the wanted kind whose colour stands out from the background. */
function drawAttributes(
  background: Rgb,
  wantsHeldOut: boolean,
  random: CounterRandom,
): Attributes & { readonly rgb: Rgb } {
  for (;;) {
    const shape = SHAPE_KINDS[random.integer(0, SHAPE_KINDS.length - 1)]!;
    const colour = COLOUR_KINDS[random.integer(0, COLOUR_KINDS.length - 1)]!;
    const texture = random.uniform() < 0.4 ? "plain" : TEXTURE_KINDS[random.integer(1, 3)]!;
    if (isHeldOutCombination({ colour, texture, shape }) !== wantsHeldOut) continue;
    const rgb = drawColour(colour, random);
    if (contrast(rgb, background) > MIN_CONTRAST) return { colour, texture, shape, rgb };
  }
}

/** Share of the whole object that would be hidden with `mask` on top. */
function hiddenShare({ mask: below, fullArea }: Draft, mask: Uint8Array): number {
  let visible = 0;
  for (let i = 0; i < mask.length; i++) if (below[i] === 1 && mask[i] === 0) visible++;
  return 1 - visible / fullArea;
}
