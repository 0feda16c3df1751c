import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { toCompressed } from "./compressed.js";
import { rasteriseInto } from "./rasterise.js";
import { RunBuffer } from "./run-buffer.js";

/** The rasteriser as the specification states it: every point of the ring on the 5x grid, one after another. */
function walkEveryPoint(part: readonly number[], height: number, width: number): number[] {
  const u: number[] = [];
  const v: number[] = [];
  const corners = part.length / 2;
  const grid = (value: number) => Math.trunc(5 * value + 0.5);
  for (let j = 0; j < corners; j++) {
    const k = (j + 1) % corners;
    let [xs, ys, xe, ye] = [grid(part[2 * j]!), grid(part[2 * j + 1]!), grid(part[2 * k]!), grid(part[2 * k + 1]!)];
    const dx = Math.abs(xe - xs);
    const dy = Math.abs(ye - ys);
    const isFlipped = (dx >= dy && xs > xe) || (dx < dy && ys > ye);
    if (isFlipped) [xs, xe, ys, ye] = [xe, xs, ye, ys];
    const n = Math.max(dx, dy);
    const slope = n === 0 ? 0 : dx >= dy ? (ye - ys) / dx : (xe - xs) / dy;
    for (let d = 0; d <= n; d++) {
      const t = isFlipped ? n - d : d;
      u.push(dx >= dy ? t + xs : Math.trunc(xs + slope * t + 0.5));
      v.push(dx >= dy ? Math.trunc(ys + slope * t + 0.5) : t + ys);
    }
  }
  const positions: number[] = [];
  for (let j = 1; j < u.length; j++) {
    if (u[j] === u[j - 1]) continue;
    const xd = ((u[j]! < u[j - 1]! ? u[j]! : u[j]! - 1) + 0.5) / 5 - 0.5;
    if (Math.floor(xd) !== xd || xd < 0 || xd > width - 1) continue;
    const yd = (Math.min(v[j]!, v[j - 1]!) + 0.5) / 5 - 0.5;
    positions.push(xd * height + Math.ceil(Math.min(Math.max(yd, 0), height)));
  }
  positions.push(height * width);
  positions.sort((a, b) => a - b);
  const differences = positions.map((position, i) => position - (positions[i - 1] ?? 0));
  const counts = [differences[0]!];
  for (let j = 1; j < differences.length; ) {
    if (differences[j]! > 0) counts.push(differences[j++]!);
    else {
      j++;
      if (j < differences.length) counts[counts.length - 1]! += differences[j++]!;
    }
  }
  return counts;
}

function runsOf(part: readonly number[], height: number, width: number): number[] {
  const buffer = new RunBuffer(4);
  // Masks that are in the buffer already stay.
  buffer.append([7, 7]);
  rasteriseInto(buffer, part, height, width);
  if (buffer.data[0] !== 7 || buffer.data[1] !== 7) throw new Error("the mask before was overwritten");
  return Array.from(buffer.data.subarray(2, buffer.length));
}

/** Rings of 3 to 10 corners on whole, half and tenth pixels from -20 to 60, images of 1 to 40 px; a function of the counter. */
function* counterRings(count: number): Generator<{ part: number[]; height: number; width: number }> {
  let counter = 0;
  const draw = (n: number) => {
    const z = Math.imul(++counter ^ (counter >>> 15), 0x2c1b3c6d);
    return ((z ^ (z >>> 12)) >>> 0) % n;
  };
  for (let i = 0; i < count; i++) {
    const [height, width] = [1 + draw(40), 1 + draw(40)];
    const step = [1, 5, 10][draw(3)]!;
    const part = Array.from({ length: 6 + 2 * draw(8) }, () => (Math.floor(draw(800) / step) * step) / 10 - 20);
    yield { part, height, width };
  }
}

describe("rasteriseInto", () => {
  const coordinate = fc.oneof(
    fc.integer({ min: -40, max: 90 }),
    fc.integer({ min: -80, max: 180 }).map((value) => value / 2),
    fc.double({ min: -40, max: 90, noNaN: true }),
    fc.constantFrom(0.1, 0.3, 0.5, 0.7, 0.9, -0.1, -0.3, -0.5, 12.3, 12.5, 12.7),
  );
  const point = fc.tuple(coordinate, coordinate);
  const parts = fc
    .array(point, { minLength: 3, maxLength: 14 })
    // Repeated points and edges that are walked back are where rounding differs first.
    .chain((points) => fc.boolean().map((isDoubled) => (isDoubled ? [...points, ...points.toReversed()] : points)))
    .map((points) => points.flat());

  test("equals the walk over every point, outside the image and degenerate rings included", () => {
    fc.assert(
      fc.property(parts, fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 }), (part, height, width) => {
        expect(runsOf(part, height, width)).toEqual(walkEveryPoint(part, height, width));
      }),
      { numRuns: 1000 },
    );
  });

  test("and of 30,000 rings pycocotools 2.0.11 (recorded digest of its strings)", () => {
    // SHA-256 of [mask.frPyObjects([ring], h, w)[0]["counts"]] joined by newlines.
    const digest = createHash("sha256");
    for (const { part, height, width } of counterRings(30_000)) {
      const runs = Uint32Array.from(runsOf(part, height, width));
      digest.update(`${toCompressed({ size: [height, width], counts: runs })}\n`);
    }
    expect(digest.digest("hex")).toBe("8cc81a00567c34590f13b9609b22e7c27cc8b0b842175b7efe40b66d56aec142");
  });

  test("and of long, nearly vertical and nearly horizontal edges", () => {
    const slivers = fc
      .tuple(coordinate, coordinate, fc.double({ min: -3, max: 3, noNaN: true }), fc.integer({ min: 100, max: 900 }))
      .map(([x, y, slant, length]) => [x, y, x + slant, y + length, x + 2 * slant + 1, y + length / 3]);
    fc.assert(
      fc.property(slivers, fc.boolean(), (part, isTurned) => {
        const turned = isTurned ? part.map((_, i) => part[i ^ 1]!) : part;
        expect(runsOf(turned, 700, 800)).toEqual(walkEveryPoint(turned, 700, 800));
      }),
      { numRuns: 300 },
    );
  });
});
