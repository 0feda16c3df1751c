import type { RgbImage } from "@seg/coco-dataset";
import { IDENTITY } from "../src/affine.js";
import { CounterRandom } from "../src/philox.js";
import type { Sample, SampleInstance } from "../src/sample.js";

/** Reproducible noise. */
export function noise(width: number, height: number, seed = 1): RgbImage {
  const random = new CounterRandom({ seed, path: "test/noise" });
  return { width, height, data: Uint8Array.from({ length: width * height * 3 }, () => random.uint32() & 255) };
}

export type Colour = readonly [number, number, number];

/** Paints [x1, x2) x [y1, y2), whole pixels. */
export function paint(image: RgbImage, [x1, y1, x2, y2]: readonly number[], colour: Colour): void {
  for (let y = y1!; y < y2!; y++) for (let x = x1!; x < x2!; x++) image.data.set(colour, (y * image.width + x) * 3);
}

export function pixel({ width, data }: RgbImage, x: number, y: number): number[] {
  return [...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
}

export function rectangle([x1, y1, x2, y2]: readonly number[]): Float64Array {
  return Float64Array.of(x1!, y1!, x2!, y1!, x2!, y2!, x1!, y2!);
}

/** A picture of one background with rectangles, each an instance with box and polygon. */
export function scene({
  width,
  height,
  background,
  rectangles,
  polygons = true,
}: {
  width: number;
  height: number;
  background: Colour;
  rectangles: readonly { at: readonly [number, number, number, number]; colour: Colour }[];
  polygons?: boolean;
}): Sample {
  const image = { width, height, data: new Uint8Array(width * height * 3) };
  paint(image, [0, 0, width, height], background);
  const instances = rectangles.map(({ at, colour }, i): SampleInstance => {
    paint(image, at, colour);
    return {
      classId: i,
      box: at,
      ...(polygons ? { polygons: [rectangle(at)] } : {}),
      sourceId: 100 + i,
      matrix: IDENTITY,
    };
  });
  return { image, instances };
}
