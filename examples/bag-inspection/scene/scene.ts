import { CounterRandom } from "@seg/augment";
import { paintBackground } from "./background.js";
import { type Bag, type BagFrame, paintBag, paintShadow, shapeBag, toImage } from "./bag.js";
import {
  type DefectKind,
  defectShape,
  labelShape,
  occluderShape,
  paintDefect,
  paintLabel,
  paintOccluder,
} from "./parts.js";
import { type Canvas, type Coverage, coveredArea, hideBehind, type Point, rasterize } from "./raster.js";
import { blur, noiseField, toBytes } from "./texture.js";

export type PartClass = "ear" | "defect" | "label";

/** One thing to find: the share of each pixel that is visible of it. */
export interface ScenePart {
  readonly className: PartClass;
  visible: Coverage;
  /** Area in pixels before anything covered it. */
  readonly fullArea: number;
}

export interface Scene {
  readonly width: number;
  readonly height: number;
  /** RGB, HWC. */
  readonly data: Uint8Array;
  readonly parts: readonly ScenePart[];
}

/** Share of pictures without any bag. */
const EMPTY_SHARE = 0.05;
/** Share of bags pictures with at least one defect. */
const DEFECT_SHARE = 0.85;
/** A part keeps at least this share of its area; an occluder that hides more is moved. */
const MIN_VISIBLE = 0.45;

/**
 * Renders one picture of a synthetic inspection table with bags; the same seed, index and size give the same bytes.
 *
 * @param size - width and height in pixels; things are drawn relative to 320 x 256
 */
export function renderScene({
  seed,
  index,
  size,
}: {
  seed: number;
  index: number;
  size: readonly [number, number];
}): Scene {
  const [width, height] = size;
  const scale = Math.min(width / 320, height / 256);
  const canvas: Canvas = { width, height, data: new Float32Array(width * height * 3) };
  const random = (path: string): CounterRandom => new CounterRandom({ seed, path: `bag-scene/${path}`, index });
  paintBackground(canvas, random("background"), scale);
  const layout = random("layout");
  const parts: ScenePart[] = [];
  if (layout.uniform() >= EMPTY_SHARE) {
    const warp = noiseField(random("folds"), { width, height, cell: 34 * scale });
    const hasDefects = layout.uniform() < DEFECT_SHARE;
    const shadow = { dx: layout.uniform(-6, 6) * scale, dy: layout.uniform(2, 8) * scale };
    const bags = placeBags(layout, random("shapes"), { canvas, scale });
    for (const [i, bag] of bags.entries()) {
      for (const part of parts) part.visible = hideBehind(part.visible, bag.body);
      for (const ear of bag.ears) for (const part of parts) part.visible = hideBehind(part.visible, ear.cover);
      paintShadow(canvas, bag, shadow);
      paintBag(canvas, random(`bag${i}`), bag, { warp, scale });
      for (const ear of bag.ears) addPart(parts, "ear", ear.cover);
      paintParts(canvas, random(`parts${i}`), bag, { parts, warp, scale, hasDefects, bagCount: bags.length });
    }
    paintOccluders(canvas, random("occluders"), { parts, scale });
  } else paintOccluders(canvas, random("occluders"), { parts, scale });
  finish(canvas, random("light"));
  const noise = random("noise");
  const data = toBytes(canvas, { sigma: noise.uniform(1.5, 5.5), rng: noise });
  return { width, height, data, parts };
}

function addPart(parts: ScenePart[], className: PartClass, cover: Coverage): void {
  parts.push({ className, visible: cover, fullArea: coveredArea(cover) });
}

/** One bag, or two side by side of which the second may lie a little over the first. */
function placeBags(
  layout: CounterRandom,
  shapes: CounterRandom,
  { canvas, scale }: { canvas: Canvas; scale: number },
): Bag[] {
  const { width, height } = canvas;
  const isPair = layout.uniform() < 0.4;
  const turn = layout.uniform(-0.2, 0.2);
  if (!isPair) {
    const halfWidth = layout.uniform(72, 104) * scale;
    const halfHeight = layout.uniform(72, 94) * scale;
    const cx = width / 2 + layout.uniform(-0.5, 0.5) * (width - 2 * halfWidth - 60 * scale);
    const cy = height / 2 + 14 * scale + layout.uniform(-0.5, 0.5) * (height - 2 * halfHeight - 50 * scale);
    return [shapeBag(shapes, { cx, cy, halfWidth, halfHeight, turn }, { canvas, scale })];
  }
  const frame = (side: number, overlap: number): BagFrame => {
    const halfWidth = layout.uniform(54, 62) * scale;
    const halfHeight = layout.uniform(70, 92) * scale;
    return {
      cx: width / 2 + side * (78 - overlap) * scale,
      cy: height / 2 + (16 + layout.uniform(-12, 12)) * scale,
      halfWidth,
      halfHeight,
      turn: layout.uniform(-0.16, 0.16),
    };
  };
  const overlap = layout.uniform(0, 10);
  return [frame(-1, overlap), frame(1, overlap)].map((f) => shapeBag(shapes, f, { canvas, scale }));
}

/** Labels and defects on one bag, apart from each other. */
function paintParts(
  canvas: Canvas,
  rng: CounterRandom,
  bag: Bag,
  options: { parts: ScenePart[]; warp: Float32Array; scale: number; hasDefects: boolean; bagCount: number },
): void {
  const { parts, warp, scale, hasDefects, bagCount } = options;
  const { width, height } = canvas;
  const taken: { x: number; y: number; radius: number }[] = [];
  const place = (radius: number): Point | null => {
    for (let attempt = 0; attempt < 40; attempt++) {
      const insetU = 1 - (radius + 5 * scale) / bag.frame.halfWidth;
      const insetV = 1 - (radius + 5 * scale) / bag.frame.halfHeight;
      const [x, y] = toImage(bag.frame, rng.uniform(-insetU, insetU), rng.uniform(-insetV, insetV));
      const isInside = x > radius && y > radius && x < width - radius && y < height - radius;
      const isFree = taken.every((t) => Math.hypot(t.x - x, t.y - y) > t.radius + radius + 2 * scale);
      // A lobe starts inside its bag, so keep clear of its root.
      const isClear = bag.ears.every(({ base }) => Math.hypot(base[0] - x, base[1] - y) > radius + 14 * scale);
      if (!isInside || !isFree || !isClear) continue;
      taken.push({ x, y, radius });
      return [x, y];
    }
    return null;
  };
  const labelCount = bagCount === 1 && rng.uniform() < 0.4 ? 2 : 1;
  for (let i = 0; i < labelCount; i++) {
    const at = place(30 * scale);
    if (!at) continue;
    const shape = labelShape(rng, { x: at[0], y: at[1], turn: bag.frame.turn, scale });
    const cover = rasterize(shape.outline, width, height);
    paintLabel(canvas, rng, cover, shape);
    addPart(parts, "label", cover);
  }
  if (!hasDefects) return;
  const defectCount = rng.integer(1, bagCount === 1 ? 3 : 2);
  for (let i = 0; i < defectCount; i++) {
    const kind = (["blob", "blob", "stain", "scratch"] as const satisfies readonly DefectKind[])[rng.integer(0, 3)]!;
    const at = place((kind === "scratch" ? 26 : 17) * scale);
    if (!at) continue;
    const [x, y] = at;
    const { outline, radius } = defectShape(rng, { kind, x, y, scale });
    const cover = rasterize(outline, width, height);
    paintDefect(canvas, rng, cover, { kind, x, y, radius, warp });
    addPart(parts, "defect", cover);
  }
}

/** In about half of the pictures a strap or an arm lies over some part and cuts its mask. */
function paintOccluders(
  canvas: Canvas,
  rng: CounterRandom,
  { parts, scale }: { parts: ScenePart[]; scale: number },
): void {
  if (rng.uniform() >= 0.5) return;
  for (let attempt = 0; attempt < 8; attempt++) {
    const target = parts.length > 0 ? parts[rng.integer(0, parts.length - 1)]!.visible : undefined;
    const aim: Point = target
      ? [target.x0 + target.width * rng.uniform(0.35, 0.65), target.y0 + target.height * rng.uniform(0.35, 0.65)]
      : [rng.uniform(0, canvas.width), rng.uniform(0, canvas.height)];
    const { cover, kind, axis } = occluderShape(rng, { canvas, aim, scale });
    const visible = parts.map((part) => hideBehind(part.visible, cover));
    if (visible.some((v, i) => coveredArea(v) < MIN_VISIBLE * parts[i]!.fullArea)) continue;
    paintOccluder(canvas, rng, { cover, kind, axis, aim, scale });
    for (const [i, part] of parts.entries()) part.visible = visible[i]!;
    return;
  }
}

/** Light that falls off from a bright spot, exposure, white balance, then a little defocus. */
function finish(canvas: Canvas, rng: CounterRandom): void {
  const { width, height, data } = canvas;
  const [lx, ly] = [rng.uniform(0.1, 0.9) * width, rng.uniform(-0.1, 0.9) * height];
  const falloff = rng.uniform(0.08, 0.4) / (width * width + height * height);
  const exposure = rng.uniform(0.82, 1.2);
  const warmth = rng.uniform(-0.05, 0.05);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const gain = exposure * (1 + 0.06 - falloff * ((x - lx) ** 2 + (y - ly) ** 2) * 1.6);
      const at = (y * width + x) * 3;
      data[at]! *= gain * (1 + warmth);
      data[at + 1]! *= gain;
      data[at + 2]! *= gain * (1 - warmth);
    }
  blur(canvas, rng.uniform(0.08, 0.22));
}
