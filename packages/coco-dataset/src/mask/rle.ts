import { RleError } from "../errors.js";
import type { BoxXywh, Rle } from "../types.js";
import { RunBuffer } from "./run-buffer.js";
import { areaOfRuns, bboxOfRuns, totalOfRuns } from "./runs.js";

/** pycocotools counts in 32 bits and rasterises with signed positions. */
const MAX_PIXELS = 2 ** 31 - 1;

/** Throws unless height and width are non-negative integers with height * width below 2^31. */
export function checkSize(height: number, width: number): void {
  if (Number.isInteger(height) && Number.isInteger(width) && height >= 0 && width >= 0 && height * width <= MAX_PIXELS)
    return;
  throw new RleError({
    reason: "size",
    message: `mask size [${height}, ${width}] must be [height, width] in whole pixels with height * width < 2^31.`,
  });
}

/**
 * Run lengths of a bitmap. A run ends at each change; the last run is always emitted.
 *
 * @param pixels - height * width values 0 or 1, row-major
 * @throws RleError on another value or length
 */
export function encode(pixels: ArrayLike<number>, height: number, width: number): Rle {
  checkSize(height, width);
  if (pixels.length !== height * width) {
    throw new RleError({
      reason: "length",
      message: `the bitmap has ${pixels.length} values, expected height * width = ${height * width}.`,
    });
  }
  const counts: number[] = [];
  let current = 0;
  let run = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0, i = x; y < height; y++, i += width) {
      const value = pixels[i]!;
      if (value !== current) {
        if (value !== 0 && value !== 1) {
          throw new RleError({
            reason: "value",
            message: `pixel (${x}, ${y}) is ${value}, expected 0 or 1. Threshold the mask first.`,
          });
        }
        counts.push(run);
        run = 0;
        current = value;
      }
      run++;
    }
  }
  counts.push(run);
  return { size: [height, width], counts: Uint32Array.from(counts) };
}

/**
 * Run lengths given as numbers; zero runs inside are kept as they are.
 * @throws RleError when a run is not a non-negative integer
 */
export function fromUncompressed(counts: ArrayLike<number>, height: number, width: number): Rle {
  checkSize(height, width);
  const buffer = new RunBuffer(counts.length);
  appendUncompressed(buffer, counts);
  return { size: [height, width], counts: buffer.data.slice(0, buffer.length) };
}

/** {@link fromUncompressed} into a buffer that holds other masks already. */
export function appendUncompressed(buffer: RunBuffer, counts: ArrayLike<number>): void {
  buffer.reserve(counts.length);
  const { data, length } = buffer;
  for (let i = 0; i < counts.length; i++) {
    const run = counts[i]!;
    if (!Number.isInteger(run) || run < 0 || run > MAX_PIXELS) {
      throw new RleError({ reason: "value", message: `run ${i} is ${run}, expected an integer in [0, 2^31).` });
    }
    data[length + i] = run;
  }
  buffer.length = length + counts.length;
}

/** Sum of all runs; equals height * width in a sound RLE. */
export function runTotal(rle: Rle): number {
  return totalOfRuns(rle.counts, 0, rle.counts.length);
}

/**
 * The bitmap, row-major, height * width values 0 or 1.
 *
 * @param options.lenient - accept a short sum and fill with zeros; a long sum is always an error. @defaultValue false
 * @throws RleError (reason `length`) when the runs do not sum to height * width
 */
export function decode(rle: Rle, { lenient = false }: { lenient?: boolean } = {}): Uint8Array {
  const [height, width] = rle.size;
  const total = runTotal(rle);
  if (total > height * width || (total < height * width && !lenient)) throw lengthError(total, height, width);
  const pixels = new Uint8Array(height * width);
  let position = 0;
  for (let i = 0; i < rle.counts.length; i++) {
    const end = position + rle.counts[i]!;
    if ((i & 1) === 1 && end > position) {
      let x = Math.floor(position / height);
      let y = position - x * height;
      for (; position < end; position++) {
        pixels[y * width + x] = 1;
        if (++y === height) {
          y = 0;
          x++;
        }
      }
    }
    position = end;
  }
  return pixels;
}

/** The error of run lengths that do not fill the mask. */
export function lengthError(
  total: number,
  height: number,
  width: number,
  annotationId: number | null = null,
): RleError {
  return new RleError({
    reason: "length",
    annotationId,
    message: `run lengths sum to ${total}, expected height * width = ${height} * ${width} = ${height * width}. Check that size is [height, width] and re-encode the mask.`,
  });
}

/** Number of foreground pixels. */
export function area(rle: Rle): number {
  return areaOfRuns(rle.counts, 0, rle.counts.length);
}

/**
 * Tight `[x, y, width, height]` of the foreground, in whole pixels; `[0, 0, 0, 0]` when there is none
 * (pycocotools wraps to 4.29e9 for an RLE that ends in an empty run; here it is empty).
 */
export function toBbox(rle: Rle): BoxXywh {
  const box: [number, number, number, number] = [0, 0, 0, 0];
  bboxOfRuns(rle.counts, 0, rle.counts.length, rle.size[0], box, 0);
  return box;
}

/**
 * Union (default) or intersection, folded pairwise over the runs; one mask comes back unchanged.
 * @throws RleError when sizes differ or the list is empty
 */
export function merge(rles: readonly Rle[], { intersect = false }: { intersect?: boolean } = {}): Rle {
  const first = rles[0];
  if (first === undefined)
    throw new RleError({ reason: "size", message: "merge of no masks has no size. Pass at least one." });
  let result = first;
  for (let i = 1; i < rles.length; i++) result = mergeTwo(result, rles[i]!, intersect);
  return result;
}

function mergeTwo(a: Rle, b: Rle, intersect: boolean): Rle {
  if (a.size[0] !== b.size[0] || a.size[1] !== b.size[1]) {
    throw new RleError({
      reason: "size",
      message: `cannot merge masks of size [${a.size[0]}, ${a.size[1]}] and [${b.size[0]}, ${b.size[1]}].`,
    });
  }
  // The walk below relies on both operands ending together.
  for (const operand of [a, b]) {
    const total = runTotal(operand);
    if (total !== a.size[0] * a.size[1]) throw lengthError(total, a.size[0], a.size[1]);
  }
  const countsA = a.counts;
  const countsB = b.counts;
  const merged = new Uint32Array(countsA.length + countsB.length + 1);
  let length = 0;
  let remainingA = countsA[0] ?? 0;
  let remainingB = countsB[0] ?? 0;
  let nextA = 1;
  let nextB = 1;
  let valueA = false;
  let valueB = false;
  let value = false;
  let run = 0;
  for (;;) {
    const step = Math.min(remainingA, remainingB);
    run += step;
    remainingA -= step;
    remainingB -= step;
    if (remainingA === 0 && nextA < countsA.length) {
      remainingA = countsA[nextA++]!;
      valueA = !valueA;
    }
    if (remainingB === 0 && nextB < countsB.length) {
      remainingB = countsB[nextB++]!;
      valueB = !valueB;
    }
    // A zero run at the same place in both must not end the walk.
    const done = remainingA + remainingB === 0 && nextA >= countsA.length && nextB >= countsB.length;
    const next = intersect ? valueA && valueB : valueA || valueB;
    if (next !== value || done) {
      merged[length++] = run;
      run = 0;
    }
    value = next;
    if (done) break;
  }
  return { size: a.size, counts: merged.slice(0, length) };
}
