import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encode } from "./rle.js";
import { maskTopology } from "./topology.js";

/** Flood fill from every pixel that is not visited yet. */
function flood(pixels: readonly number[], height: number, width: number) {
  const seen = new Set<number>();
  let components = 0;
  let holes = 0;
  for (let start = 0; start < pixels.length; start++) {
    if (seen.has(start)) continue;
    const kind = pixels[start]!;
    let isBorder = false;
    const stack = [start];
    seen.add(start);
    while (stack.length > 0) {
      const at = stack.pop()!;
      const [x, y] = [at % width, Math.floor(at / width)];
      if (x === 0 || y === 0 || x === width - 1 || y === height - 1) isBorder = true;
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) {
          if (kind === 1 && dx !== 0 && dy !== 0) continue;
          const [nx, ny] = [x + dx, y + dy];
          const next = ny * width + nx;
          if (nx < 0 || ny < 0 || nx >= width || ny >= height || seen.has(next) || pixels[next] !== kind) continue;
          seen.add(next);
          stack.push(next);
        }
      }
    }
    if (kind === 1) components++;
    else if (!isBorder) holes++;
  }
  return { components, holes };
}

describe("maskTopology", () => {
  test("a ring, a diagonal pair, nothing", () => {
    expect(maskTopology(encode([1, 1, 1, 1, 0, 1, 1, 1, 1], 3, 3))).toEqual({ components: 1, holes: 1 });
    expect(maskTopology(encode([1, 0, 0, 1], 2, 2))).toEqual({ components: 2, holes: 0 });
    expect(maskTopology(encode([0, 0, 0, 0], 2, 2))).toEqual({ components: 0, holes: 0 });
    expect(maskTopology({ size: [3, 1], counts: Uint32Array.of(0, 1, 0, 2) })).toEqual({ components: 1, holes: 0 });
  });

  test("equals a flood fill", () => {
    const bitmaps = fc
      .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }))
      .chain(([height, width]) =>
        fc
          .array(fc.constantFrom(0, 1, 1), { minLength: height * width, maxLength: height * width })
          .map((pixels) => ({ height, width, pixels })),
      );
    fc.assert(
      fc.property(bitmaps, ({ height, width, pixels }) => {
        expect(maskTopology(encode(pixels, height, width))).toEqual(flood(pixels, height, width));
      }),
      { numRuns: 1000 },
    );
  });
});
