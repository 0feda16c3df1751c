import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compose, fromQuads, type Homography, invert, project } from "../core/homography.js";
import type { InverseField } from "../core/inverse-field.js";
import { typescriptKernels } from "../kernels/typescript-kernels.js";
import { createWasmKernels } from "../kernels/wasm-kernels.js";
import { CounterRandom } from "../philox.js";
import type { PipelineSample } from "../pipeline/types.js";
import { pipelineFromConfig } from "../registry.js";
import { ElasticTransform } from "./elastic.js";
import { PiecewiseAffine } from "./piecewise-affine.js";
import { fogThrough } from "./scene.js";

const run = (levels: readonly number[], ...transforms: object[]): number[] => {
  const data = Uint8Array.from(levels.flatMap((v) => [v, v, v]));
  const sample: PipelineSample = { image: { data, width: levels.length, height: 1, channels: 3 } };
  const { image } = pipelineFromConfig({ schemaVersion: 1, transforms }).applySync(sample);
  return levels.map((_, i) => image.data[3 * i]!);
};
const LEVELS = [0, 64, 100, 128, 200, 255];
const tone = (brightness: number, contrast: number, pivot = 127.5) => ({
  type: "RandomBrightnessContrast",
  brightness: [brightness, brightness],
  contrast: [contrast, contrast],
  pivot,
});
const gamma = (g: number) => ({ type: "RandomGamma", gamma: [g, g] });

describe("tone, golden", () => {
  test.each([
    ["contrast .2, brightness .1", [tone(0.1, 0.2)], [0, 77, 120, 154, 240, 255]],
    ["the same about 0", [tone(0.1, 0.2, 0)], [26, 102, 146, 179, 255, 255]],
    ["contrast -.3", [tone(0, -0.3)], [38, 83, 108, 128, 178, 217]],
    ["gamma 1.5", [gamma(1.5)], [0, 32, 63, 91, 177, 255]],
    ["gamma .65", [gamma(0.65)], [0, 104, 139, 163, 218, 255]],
    ["brightness .1 then gamma .8, one rounding", [tone(0.1, 0), gamma(0.8)], [40, 110, 145, 170, 231, 255]],
  ])("%s", (_, transforms, expected) => {
    expect(run(LEVELS, ...transforms)).toEqual(expected);
  });
});

describe.each([typescriptKernels, createWasmKernels()!].map((kernels) => [kernels.name, kernels] as const))(
  "colour, golden (%s)",
  (_, kernels) => {
    test.each([
      [
        [255, 0, 0],
        [30, 0, 0],
        [255, 255, 0],
      ],
      [
        [200, 100, 50],
        [10, 20, -20],
        [180, 130, 31],
      ],
      [
        [100, 100, 100],
        [10, 40, 0],
        [100, 100, 100],
      ],
      [
        [255, 255, 255],
        [0, 30, 0],
        [255, 255, 255],
      ],
    ] as const)("%j shifted by %j", (rgb, [hue, saturation, value], expected) => {
      // 16 pixels: a whole SIMD block.
      const image = kernels.createImage(16, 1, 3);
      for (let i = 0; i < 48; i++) image.data[i] = rgb[i % 3]!;
      kernels.hsvShift(image, hue, saturation, value);
      const out = kernels.detach(image);
      for (let i = 0; i < 48; i++) expect(Math.abs(out[i]! - expected[i % 3]!)).toBeLessThanOrEqual(1);
    });
  },
);

test("fog: k layers of a = .056 over 100", () => {
  const through = (k: number) => {
    const t = fogThrough(0.056, k);
    return Math.round(100 * t + 255 * (1 - t));
  };
  expect([through(1), through(5), through(20)]).toEqual([109, 139, 206]);
});

const keyed = (key: number) => new CounterRandom({ seed: key, path: "plane" });
const fields = fc.record({
  width: fc.integer({ min: 40, max: 400 }),
  height: fc.integer({ min: 40, max: 400 }),
  key: fc.nat(2 ** 31),
  strength: fc.double({ min: 0, max: 1, noNaN: true }),
  x: fc.double({ min: 0, max: 1, noNaN: true }),
  y: fc.double({ min: 0, max: 1, noNaN: true }),
});

/** Smallest determinant of d(q + d(q))/dq on a grid. */
function leastDeterminant(field: InverseField, width: number, height: number): number {
  let least = Number.POSITIVE_INFINITY;
  const h = 1e-4;
  for (let i = 0; i < 25; i++) {
    for (let j = 0; j < 25; j++) {
      const x = ((i + 0.37) * width) / 25;
      const y = ((j + 0.61) * height) / 25;
      const [ax, ay] = field.backward(x, y);
      const [bx, by] = field.backward(x + h, y);
      const [cx, cy] = field.backward(x, y + h);
      least = Math.min(least, ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)) / (h * h));
    }
  }
  return least;
}

describe("fields", () => {
  test("elastic: forward inverts backward within 0.05 px and never folds", () => {
    fc.assert(
      fc.property(fields, ({ width, height, key, strength, x, y }) => {
        const sampled = { rmsFrac: strength * 0.0106, sigmaFrac: 0.04, taper: true, key };
        const field = ElasticTransform.field(sampled, { width, height, random: keyed });
        const q = field.forward(x * width, y * height);
        const p = field.backward(...q);
        expect(Math.hypot(p[0] - x * width, p[1] - y * height)).toBeLessThan(0.05);
        expect(leastDeterminant(field, width, height)).toBeGreaterThan(0);
      }),
      { numRuns: 60 },
    );
  });
  test("elastic: the interior has the RMS that was asked for; the border stands still", () => {
    let sum = 0;
    let n = 0;
    for (let key = 1; key <= 12; key++) {
      const sampled = { rmsFrac: 0.005, sigmaFrac: 0.04, taper: true, key };
      const field = ElasticTransform.field(sampled, { width: 640, height: 640, random: keyed });
      for (let x = 60; x < 600; x += 20) {
        for (let y = 60; y < 600; y += 20) {
          const [px, py] = field.backward(x, y);
          sum += (px - x) ** 2 + (py - y) ** 2;
          n += 2;
        }
      }
      const [bx, by] = field.backward(0.5, 320);
      expect(Math.hypot(bx - 0.5, by - 320)).toBeLessThan(1);
    }
    expect(Math.sqrt(sum / n) / 3.2).toBeGreaterThan(0.9);
    expect(Math.sqrt(sum / n) / 3.2).toBeLessThan(1.1);
  });
  test("mesh: forward inverts backward exactly, never folds, keeps the corners", () => {
    fc.assert(
      fc.property(fields, ({ width, height, key, strength, x, y }) => {
        const sampled = { jitterFrac: strength * 0.3, nbRows: 4, nbCols: 5, key };
        const field = PiecewiseAffine.field(sampled, { width, height, random: keyed });
        const q = field.forward(x * width, y * height);
        const p = field.backward(...q);
        expect(Math.hypot(p[0] - x * width, p[1] - y * height)).toBeLessThan(1e-6);
        expect(leastDeterminant(field, width, height)).toBeGreaterThan(0);
        expect(field.forward(0, 0)).toEqual([0, 0]);
        const [cx, cy] = field.forward(width, height);
        expect(Math.hypot(cx - width, cy - height)).toBeLessThan(1e-9);
      }),
      { numRuns: 60 },
    );
  });
});

describe("homographies", () => {
  const quad = fc.tuple(...Array.from({ length: 8 }, () => fc.double({ min: 0, max: 0.3, noNaN: true })));
  test("four points determine the map; forward then inverse is where it began", () => {
    fc.assert(
      fc.property(
        quad,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (i, u, v) => {
          const [W, H] = [640, 480];
          const from = [
            i[0]! * W,
            i[1]! * H,
            W - i[2]! * W,
            i[3]! * H,
            W - i[4]! * W,
            H - i[5]! * H,
            i[6]! * W,
            H - i[7]! * H,
          ];
          const map = fromQuads(from, [0, 0, W, 0, W, H, 0, H])!;
          const [x, y] = project(map, from[4]!, from[5]!);
          expect(Math.hypot(x - W, y - H)).toBeLessThan(1e-6);
          const [px, py] = project(invert(map), u * W, v * H);
          const [bx, by] = project(map, px, py);
          expect(Math.hypot(bx - u * W, by - v * H)).toBeLessThan(1e-6);
        },
      ),
    );
  });
  test("fused annotations equal those of one step after the other", () => {
    const steps = [
      { type: "Affine", rotate: [17, 17], scale: [0.6, 0.6], shearX: [5, 5] },
      { type: "Perspective", scale: [0.05, 0.05] },
      { type: "RandomScale", scaleLimit: [-0.2, -0.2] },
    ];
    const between = { type: "GaussNoise", std: [0, 0] };
    const image = { data: new Uint8Array(200 * 160 * 3), width: 200, height: 160, channels: 3 };
    const sample: PipelineSample = {
      image,
      masks: [[[60, 40, 140, 50, 120, 120, 50, 100]]],
      bboxes: [[50, 40, 90, 80]],
    };
    const config = (transforms: object[]) => ({ schemaVersion: 1, transforms, seed: 2 });
    const fused = pipelineFromConfig(config(steps)).applySync(sample, { index: 1 });
    const apart = pipelineFromConfig(config(steps.flatMap((s) => [s, between]))).applySync(sample, { index: 1 });
    const [a, b] = [fused, apart].map(({ masks }) => (masks![0] as number[][])[0]!) as [number[], number[]];
    a.forEach((v, k) => void expect(v).toBeCloseTo(b[k]!, 6));
    fused.bboxes![0]!.forEach((v, k) => void expect(v).toBeCloseTo(apart.bboxes![0]![k]!, 6));
  });
  test("compose is the matrix product, normalised", () => {
    const shift: Homography = [1, 0, 3, 0, 1, -2, 0, 0, 1];
    expect(compose(shift, [2, 0, 0, 0, 2, 0, 0, 0, 1])).toEqual([2, 0, 6, 0, 2, -4, 0, 0, 1]);
  });
});

test("generated files are what their sources give", async () => {
  const { execFileSync } = await import("node:child_process");
  const script = new URL("../../scripts/generate.mjs", import.meta.url).pathname;
  expect(() => execFileSync(process.execPath, [script, "--check"], { stdio: "pipe" })).not.toThrow();
  // A compiler in a process of its own: on a busy machine a minute.
}, 300_000);
