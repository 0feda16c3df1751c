import type { BufferPool } from "./buffer-pool.js";
import type { Geometry } from "./geometry.js";
import { centreOn, extendTo, type ModelPlan } from "./plan.js";
import { type Prepared, pixelMask, type Tensor } from "./prepare-models.js";
import { type Size, yoloBatchShape } from "./sizes.js";

/** Several pictures as one input of a model. */
export interface ModelBatch {
  /** As of {@link Prepared}, the first dimension being the number of pictures. */
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** One per picture; `netW`, `netH` and the padding are those of the batch. */
  readonly metas: readonly Geometry[];
}

/** Sides of the batch's canvas. */
function batchSize({ settings }: ModelPlan, metas: readonly Geometry[]): Size {
  const widest = Math.max(...metas.map(({ netW }) => netW));
  const highest = Math.max(...metas.map(({ netH }) => netH));
  if (settings.family === "dino" && settings.options.fixedCanvas === null) {
    const { padMultiple } = settings.options;
    const up = (side: number) => Math.ceil(side / padMultiple) * padMultiple;
    return [up(widest), up(highest)];
  }
  if (settings.family === "yolo" && settings.options.mode === "val-rect") {
    return yoloBatchShape(
      metas.map(({ origW, origH }) => [origW, origH]),
      settings.options,
    );
  }
  return [widest, highest];
}

/** Copies the content of one planar picture onto a larger planar canvas. */
function place(
  from: Float32Array | Uint8Array,
  source: Geometry,
  to: Float32Array | Uint8Array,
  target: Geometry,
): void {
  const { contentW, contentH } = source;
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < contentH; y++) {
      const p = (c * source.netH + source.padT + y) * source.netW + source.padL;
      const o = (c * target.netH + target.padT + y) * target.netW + target.padL;
      to.set(from.subarray(p, p + contentW), o);
    }
  }
}

/**
 * Stacks prepared pictures of one model. Grounding DINO: zeros at the right and bottom up to the largest picture (a multiple of
 * `padMultiple`), `pixel_mask` marks the content. YOLO's rectangles: centred on the common canvas, whose size `val-rect` computes from the
 * aspects of the batch. A batch of one that needs no padding keeps its tensors.
 */
export function collate(plan: ModelPlan, items: readonly Prepared[], pool: BufferPool): ModelBatch {
  const [width, height] = batchSize(
    plan,
    items.map(({ meta }) => meta),
  );
  const isCentred = plan.settings.family === "yolo" && plan.settings.options.center;
  const metas = items.map(({ meta }) => {
    if (meta.netW === width && meta.netH === height) return meta;
    return isCentred ? centreOn(meta, width, height) : extendTo(meta, width, height);
  });
  const only = items.length === 1 ? items[0]! : null;
  if (only !== null && metas[0] === only.meta) return { tensors: only.tensors, metas };
  const { inputName, padValue } = plan;
  const length = 3 * width * height;
  const data = pool.take(plan.output, items.length * length);
  const isPadded = metas.some((meta, i) => meta !== items[i]!.meta);
  if (isPadded) data.fill(padValue);
  items.forEach(({ tensors, meta }, i) => {
    const from = tensors[inputName]!.data as Float32Array | Uint8Array;
    const to = data.subarray(i * length, (i + 1) * length);
    if (metas[i] === meta) to.set(from);
    else place(from, meta, to, metas[i]!);
  });

  const stacked: Record<string, Tensor> = {
    [inputName]: { data, dims: [items.length, 3, height, width], layout: "NCHW" },
  };
  if (items[0]!.tensors["pixel_mask"] !== undefined) {
    const type = items[0]!.tensors["pixel_mask"].data instanceof BigInt64Array ? "int64" : "uint8";
    const plane = width * height;
    const mask = type === "int64" ? new BigInt64Array(items.length * plane) : new Uint8Array(items.length * plane);
    metas.forEach((meta, i) => {
      mask.set(pixelMask(meta, type) as never, i * plane);
    });
    stacked["pixel_mask"] = { data: mask, dims: [items.length, height, width], layout: "NHW" };
  }
  return { tensors: stacked, metas };
}
