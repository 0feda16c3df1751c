import { join } from "node:path";
import type { RgbImage } from "@seg/coco-dataset";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileKernels } from "../../../scripts/build-wasm.mjs";
import { syn } from "../test/support.js";
import { BYTE_TABLE, normaliseTable, writeChw } from "./chw.js";
import { makeGeometry } from "./geometry.js";
import { KERNELS_WASM } from "./kernels-wasm.js";
import type { PillowFilter } from "./pillow-coefficients.js";
import { resampleToChwSimd, resizeSimd } from "./resample-simd.js";
import { resizeCv2Scalar } from "./resize-cv2.js";
import { resizeFloatAntialias, resizeFloatScalar } from "./resize-float.js";
import { resizePillowScalar } from "./resize-pillow.js";
import { simdKernels } from "./simd-kernels.js";

const side = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 90 }));
/** Extreme values beside noise: sums at the ends of their range. */
const picture = (width: number, height: number, kind: number): RgbImage => {
  const image = syn(width, height);
  if (kind === 0) return image;
  return { ...image, data: image.data.map((v, i) => (kind === 1 ? 255 : (v + i) % 2 === 0 ? 255 : 0)) };
};

/** `toEqual` walks typed arrays element by element; bytes are compared as bytes. */
const sameBytes = (a: ArrayBufferView, b: ArrayBufferView): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));

test("the committed module is what assembly/kernels.ts compiles to", async () => {
  expect((await compileKernels(join(import.meta.dirname, ".."))).toString("base64")).toBe(KERNELS_WASM);
});

test("this Node runs the kernels", () => {
  expect(simdKernels()).not.toBeNull();
});

test("reads only its memory where the last output has fewer taps than the others", () => {
  // First in this file: the memory has just been made, and each picture makes it grow to what it says it needs.
  for (const height of [300, 700, 1500, 3100, 6300]) {
    const image = syn(40, height);
    const fast = resizeSimd(image, { kernel: "pillow", filter: "bilinear", width: 39, height: 4 })!;
    expect(sameBytes(fast.data, resizePillowScalar(image, 39, 4, "bilinear").data)).toBe(true);
  }
});

describe("SIMD kernels", () => {
  const filters: Exclude<PillowFilter, "nearest">[] = ["box", "bilinear", "hamming", "bicubic", "lanczos"];
  test.each(filters)("Pillow's %s equals the TypeScript kernel in every byte", (filter) => {
    fc.assert(
      fc.property(side, side, side, side, fc.nat(2), (w, h, width, height, kind) => {
        const image = picture(w, h, kind);
        const fast = resizeSimd(image, { kernel: "pillow", filter, width, height })!;
        expect(sameBytes(fast.data, resizePillowScalar(image, width, height, filter).data)).toBe(true);
      }),
      { numRuns: 150, seed: 1 },
    );
  });

  test("OpenCV's kernel equals the TypeScript kernel in every byte", () => {
    fc.assert(
      fc.property(side, side, side, side, fc.nat(2), (w, h, width, height, kind) => {
        const image = picture(w, h, kind);
        const fast = resizeSimd(image, { kernel: "cv2", width, height })!;
        expect(sameBytes(fast.data, resizeCv2Scalar(image, width, height).data)).toBe(true);
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  test("the float kernel equals the TypeScript kernel in every bit", () => {
    fc.assert(
      fc.property(side, side, side, side, fc.nat(2), (w, h, width, height, kind) => {
        const common = {
          image: picture(w, h, kind),
          width,
          height,
          mean: [0.485, 0.456, 0.406],
          std: [0.229, 0.224, 0.225],
        } as const;
        const fast = new Float32Array(3 * width * height);
        const plain = new Float32Array(3 * width * height);
        resizeFloatAntialias({ ...common, out: fast });
        resizeFloatScalar({ ...common, out: plain });
        expect(sameBytes(fast, plain)).toBe(true);
      }),
      { numRuns: 200, seed: 1 },
    );
  });

  test("long thin pictures and large factors", () => {
    for (const [w, h, width, height] of [
      [5000, 1, 3, 1],
      [1, 5000, 1, 7],
      [3, 2000, 900, 1],
      [2000, 3, 1, 900],
      [1, 1, 333, 5],
      [700, 500, 701, 500],
      [700, 500, 700, 499],
    ] as const) {
      const image = syn(w, h);
      const pillow = resizeSimd(image, { kernel: "pillow", filter: "bilinear", width, height })!;
      expect(sameBytes(pillow.data, resizePillowScalar(image, width, height, "bilinear").data)).toBe(true);
      const cv2 = resizeSimd(image, { kernel: "cv2", width, height })!;
      expect(sameBytes(cv2.data, resizeCv2Scalar(image, width, height).data)).toBe(true);
    }
  });

  test("leaves a window beyond the memory limit to the plain kernel", () => {
    // 60,000 rows into one: the window would hold 60,000 x 400 pixels.
    const image = { width: 1, height: 60_000, data: new Uint8Array(180_000).fill(9) };
    const request = { kernel: "pillow", filter: "bilinear", width: 400, height: 1 } as const;
    expect(resizeSimd(image, request)).toBeNull();
  });

  test("writes the canvas of a tensor as the two steps do, floats and bytes", () => {
    fc.assert(
      fc.property(
        side,
        side,
        side,
        side,
        fc.nat(5),
        fc.nat(5),
        fc.boolean(),
        (w, h, width, height, left, top, isFloat) => {
          const image = syn(w, h);
          const geometry = makeGeometry({
            image,
            model: "sam",
            content: [width, height],
            pad: [left, top],
            net: [width + left + top, height + 2 * top],
            normalizedBy: "none",
            config: {},
          });
          const { netW, netH } = geometry;
          const table = isFloat ? normaliseTable([1, 2, 3], [4, 5, 6]) : BYTE_TABLE;
          const canvas = () => (isFloat ? new Float32Array(3 * netW * netH) : new Uint8Array(3 * netW * netH)).fill(7);
          const fast = canvas();
          const request = { kernel: "pillow", filter: "bilinear", width, height } as const;
          expect(resampleToChwSimd(image, request, geometry, table, fast)).toBe(true);
          const plain = canvas();
          const resized = resizePillowScalar(image, width, height, "bilinear");
          writeChw({ image: resized, table, out: plain, width: netW, height: netH, left, top });
          expect(sameBytes(fast, plain)).toBe(true);
        },
      ),
      { numRuns: 100, seed: 1 },
    );
  });
});
