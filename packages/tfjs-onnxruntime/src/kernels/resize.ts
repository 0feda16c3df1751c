import type { LowerContext } from "../lower/context.js";
import { NCHW } from "../lower/context.js";
import { convert } from "./convert.js";
import { kernel, lowering } from "./define.js";

interface Sampling {
  readonly alignCorners: boolean;
  readonly halfPixelCenters: boolean;
}

const sampling = (attrs: Record<string, unknown>): Sampling => ({
  alignCorners: Boolean(attrs["alignCorners"]),
  halfPixelCenters: Boolean(attrs["halfPixelCenters"]),
});

/** Source coordinate of output pixel `o`, by tfjs's rules. */
function source(o: number, size: number, outSize: number, { alignCorners, halfPixelCenters }: Sampling): number {
  const align = alignCorners && outSize > 1;
  const scale = (align ? size - 1 : size) / (align ? outSize - 1 : outSize);
  return halfPixelCenters ? scale * (o + 0.5) : scale * o;
}

/** Linear map of one axis, [outSize, size] row-major: nearest selects one pixel, bilinear mixes two. */
function weights(nearest: boolean, size: number, outSize: number, mode: Sampling): Float32Array {
  const map = new Float32Array(outSize * size);
  for (let o = 0; o < outSize; o++) {
    const at = source(o, size, outSize, mode);
    if (nearest) {
      const pixel = mode.alignCorners ? Math.round(at) : Math.floor(at);
      map[o * size + Math.max(0, Math.min(size - 1, pixel))]! += 1;
      continue;
    }
    const centre = mode.halfPixelCenters ? at - 0.5 : at;
    const low = Math.max(0, Math.floor(centre));
    const high = Math.max(0, Math.min(size - 1, Math.ceil(centre)));
    const share = centre - low;
    map[o * size + Math.min(low, size - 1)]! += 1 - share;
    map[o * size + high]! += share;
  }
  return map;
}

for (const [name, mode] of [
  ["ResizeNearestNeighbor", "nearest"],
  ["ResizeBilinear", "linear"],
] as const) {
  kernel(name, (call) => {
    const x = call.inputs["images"]!;
    const [height, width] = call.attrs["size"] as [number, number];
    const shape = [x.shape[0]!, height, width, x.shape[3]!];
    const dtype = mode === "nearest" ? x.dtype : "float32";
    return call.tensor(call.record(name, [call.value(x)], [{ shape, dtype }], { ...sampling(call.attrs) })[0]!);
  });
  lowering(name, (c, node) => {
    const [input, output] = [node.inputs[0]!, node.outputs[0]!];
    const [, height, width] = output.shape as [number, number, number, number];
    const [n, inHeight, inWidth, channels] = input.shape as [number, number, number, number];
    const { alignCorners: align, halfPixelCenters: half } = node.attrs as unknown as Sampling;
    const x = convert(c, c.inPerm(input, NCHW), input.dtype, "float32");
    // (align, half): equal to tfjs for both directions of scaling
    const attrs = {
      mode,
      coordinate_transformation_mode: align ? "align_corners" : half ? "half_pixel" : "asymmetric",
      nearest_mode: mode === "nearest" && (align || half) ? "round_prefer_ceil" : "floor",
    };
    const whole = height % inHeight === 0 && width % inWidth === 0;
    const inputs = whole
      ? [x, "", c.float([1, 1, height / inHeight, width / inWidth])]
      : [x, "", "", c.int64([n, channels, height, width])];
    c.set(output, convert(c, c.emit("Resize", inputs, attrs), "float32", output.dtype), NCHW);
  });
}

/** dX = Rh^T dY Rw per channel, with the linear maps of the two axes as constants. */
function transposedMap(
  c: LowerContext,
  dy: string,
  nearest: boolean,
  shape: readonly number[],
  outShape: readonly number[],
  mode: Sampling,
): string {
  const [, height, width] = shape as [number, number, number, number];
  const [, outHeight, outWidth] = outShape as [number, number, number, number];
  const rows = weights(nearest, height, outHeight, mode);
  const turned = new Float32Array(rows.length);
  for (let o = 0; o < outHeight; o++)
    for (let i = 0; i < height; i++) turned[i * outHeight + o] = rows[o * height + i]!;
  const columns = c.float(weights(nearest, width, outWidth, mode), [outWidth, width]);
  return c.emit("MatMul", [c.float(turned, [height, outHeight]), c.emit("MatMul", [dy, columns])]);
}

for (const [name, nearest] of [
  ["ResizeNearestNeighborGrad", true],
  ["ResizeBilinearGrad", false],
] as const) {
  kernel(
    name,
    (call) => {
      const [images, dy] = [call.inputs["images"]!, call.inputs["dy"]!];
      const outputs = [{ shape: images.shape, dtype: "float32" as const }];
      return call.tensor(call.record(name, [call.value(dy)], outputs, { ...sampling(call.attrs) })[0]!);
    },
    { status: "composed" },
  );
  lowering(name, (c, node) => {
    const [dyValue, dxValue] = [node.inputs[0]!, node.outputs[0]!];
    const mode = node.attrs as unknown as Sampling;
    const dy = c.inPerm(dyValue, NCHW);
    const factor = [1, 2].map((axis) => dyValue.shape[axis]! / dxValue.shape[axis]!);
    if (nearest && !mode.alignCorners && factor.every(Number.isInteger)) {
      // Sum over each block = average x block size (exact for powers of two).
      const mean = c.emit("AveragePool", [dy], { kernel_shape: factor, strides: factor });
      c.set(dxValue, c.emit("Mul", [mean, c.scalar(factor[0]! * factor[1]!, "float32")]), NCHW);
      return;
    }
    c.set(dxValue, transposedMap(c, dy, nearest, dxValue.shape, dyValue.shape, mode), NCHW);
  });
}
