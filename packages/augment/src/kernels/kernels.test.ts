import { describe, expect, test } from "vitest";
import { compose, type Homography, invert, scaling, translation } from "../core/homography.js";
import { CounterRandom } from "../philox.js";
import { gaussianWeights, lineOffsets } from "../transforms/blur.js";
import { ElasticTransform } from "../transforms/elastic.js";
import type { Kernels } from "./kernels.js";
import { spanTable } from "./span-table.js";
import { typescriptKernels } from "./typescript-kernels.js";
import { createWasmKernels } from "./wasm-kernels.js";
import type { WorkImage } from "./work-image.js";

const wasm = createWasmKernels()!;

/** Smooth shapes, hard edges and noise, with black and white. */
function picture(width: number, height: number, channels: number): Uint8Array {
  const random = new CounterRandom({ seed: width * 1000 + height, path: "test/picture" });
  const data = new Uint8Array(width * height * channels);
  for (let i = 0; i < data.length; i++) {
    const x = Math.floor(i / channels) % width;
    const y = Math.floor(i / channels / width);
    const level = 128 + 120 * Math.sin(x / 5 + (i % channels)) * Math.cos(y / 7);
    data[i] = x % 11 === 0 ? (y % 2) * 255 : Math.max(0, Math.min(255, level + random.integer(-20, 20)));
  }
  return data;
}

function run(kernels: Kernels, width: number, height: number, channels: number, act: (image: WorkImage) => void) {
  const image = kernels.createImage(width, height, channels);
  image.data.set(picture(width, height, channels));
  act(image);
  return kernels.detach(image);
}

const SIZES = [
  [64, 48],
  [101, 99],
  [7, 5],
  [1, 1],
  [33, 2],
] as const;

/** Every size and 1, 3 and 5 channels, WASM against TypeScript. */
function compare(
  channelCounts: readonly number[],
  tolerance: number,
  act: (kernels: Kernels, image: WorkImage) => void,
) {
  for (const [width, height] of SIZES) {
    for (const channels of channelCounts) {
      const a = run(typescriptKernels, width, height, channels, (image) => act(typescriptKernels, image));
      const b = run(wasm, width, height, channels, (image) => act(wasm, image));
      let worst = 0;
      for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
      expect({ width, height, channels, worst: worst <= tolerance ? 0 : worst }).toEqual({
        width,
        height,
        channels,
        worst: 0,
      });
    }
  }
}

describe("WASM kernels equal the TypeScript kernels to the byte", () => {
  test("the engine has SIMD (else nothing below compares anything)", () => expect(wasm).not.toBeNull());
  test("boxBlur", () => {
    for (const k of [1, 3, 5, 7, 15, 21]) compare([1, 3, 5], 0, (kernels, image) => kernels.boxBlur(image, k));
  });
  test("channelSums: the sums of every third byte, at every alignment", () => {
    for (const [width, height] of [...SIZES, [640, 17]] as const) {
      const data = picture(width, height, 3);
      const sums = [0, 1, 2].map((c) => data.reduce((sum, v, i) => (i % 3 === c ? sum + v : sum), 0));
      for (let offset = 0; offset < 4; offset++) {
        const shifted = new Uint8Array(data.length + 4).subarray(offset, offset + data.length);
        shifted.set(data);
        const image = { width, height, channels: 3, data: shifted };
        expect(typescriptKernels.channelSums(image)).toEqual(sums);
        expect(wasm.channelSums(image)).toEqual(sums);
      }
    }
  });
  test("lut: pictures large and small, odd lengths and addresses, give table[x]", () => {
    const table = Uint8Array.from({ length: 256 }, (_, x) => (x * 7 + 3) & 255);
    for (const [width, height] of [...SIZES, [641, 131], [301, 277]] as const) {
      for (let offset = 0; offset < 2; offset++) {
        const data = new Uint8Array(width * height * 3 + 1).subarray(offset, offset + width * height * 3);
        data.set(picture(width, height, 3));
        const expected = Buffer.from(data.map((x) => table[x]!));
        typescriptKernels.lut({ width, height, channels: 3, data }, table);
        expect(Buffer.compare(expected, data)).toBe(0);
      }
    }
  });
  test("lineBlur", () => {
    for (const [k, angle] of [
      [3, 0],
      [5, 45],
      [7, 90],
      [9, 200],
      [11, 17],
    ] as const) {
      compare([1, 3], 0, (kernels, image) => kernels.lineBlur(image, lineOffsets(k, angle)));
    }
  });
  test("sharpen", () => {
    for (const [centre, side] of [
      [4096, 0],
      [12000, 1000],
      [22528, 2048],
      [40960, 4096],
    ] as const) {
      compare([1, 3], 0, (kernels, image) => kernels.sharpen(image, centre, side));
    }
  });
  test("separable", () => {
    for (const sigma of [0.4, 1.5, 3]) {
      compare([1, 3], 0, (kernels, image) => kernels.separable(image, gaussianWeights(sigma)));
    }
  });
  test("noise", () => {
    const random = new CounterRandom({ seed: 3, path: "test/noise" });
    for (const [scale, shift] of [
      [4000, 22],
      [32767, 22],
      [20000, 17],
    ] as const) {
      const offsets = Uint32Array.from({ length: 99 }, () => random.uint32());
      for (const shared of [false, true]) {
        compare([1, 3], 0, (kernels, image) => kernels.noise(image, offsets, scale, shift, shared));
      }
    }
    // So large that the TypeScript kernel scales its whole table first; the offsets also wrap at its end.
    const large = (kernels: Kernels) =>
      run(kernels, 641, 150, 3, (image) => {
        const offsets = Uint32Array.from({ length: 150 }, (_, y) => (y % 2 === 0 ? 2 ** 17 - 100 : 977 * y));
        kernels.noise(image, offsets, 20_000, 20, false);
      });
    expect(Buffer.compare(large(typescriptKernels), large(wasm))).toBe(0);
  });
  test("colorMatrix", () => {
    const matrix = Int32Array.of(4500, -300, 200, 12000, 100, 3900, -50, -90000, -700, 300, 4600, 300000);
    compare([3], 0, (kernels, image) => kernels.colorMatrix(image, matrix));
    compare([3], 0, (kernels, image) =>
      kernels.colorMatrix(
        image,
        matrix.map((v) => v * 9),
      ),
    );
  });
  test("veil", () => {
    const random = new CounterRandom({ seed: 4, path: "test/veil" });
    const plane = Uint16Array.from({ length: 51 * 50 }, () => random.integer(0, 256));
    for (const color of [[255], [0], [200, 30, 90]])
      compare([1, 3], 0, (kernels, image) => kernels.veil(image, plane, color));
  });
  test("mix", () => {
    for (const weight of [0, 1, 16000, 32767, 32768]) {
      compare([1, 3], 0, (kernels, image) => {
        const { width, height, channels } = image;
        const other = { width, height, channels, data: picture(width, height, channels).reverse() };
        kernels.mix(image, other, weight);
      });
    }
  });
  test("clahe", () => {
    compare([1, 3], 0, (kernels, image) =>
      kernels.clahe(image, 2, Math.min(8, image.width), Math.min(8, image.height)),
    );
  });
  test("hsvShift differs by at most one level: float32 against tables", () => {
    for (const [h, s, v] of [
      [0, 0, 0],
      [10, 20, -20],
      [-18, -40, 30],
      [89, 10, 5],
      [-90, 255, 0],
    ] as const) {
      compare([3], 1, (kernels, image) => kernels.hsvShift(image, h, s, v));
    }
  });
  test("warp: affine, perspective, field, both borders", () => {
    const maps: Homography[] = [
      [1, 0, 0, 0, 1, 0, 0, 0, 1],
      [-1, 0, 60, 0, 1, 0, 0, 0, 1],
      compose([0.8, 0.3, 4, -0.3, 0.9, 7, 0, 0, 1], translation(3.3, -2.1)),
      compose(scaling(1.4, 0.7), [1, 0.05, 0, 0.02, 1, 0, 0.002, -0.001, 1]),
    ];
    const source = { width: 61, height: 47, channels: 3, data: picture(61, 47, 3) };
    for (const map of maps) {
      for (const border of ["constant", "replicate"] as const) {
        for (const isField of [false, true]) {
          compare([3], 0, (kernels, image) => {
            const { width, height } = image;
            image.data.fill(77);
            const field = isField
              ? ElasticTransform.field(
                  { rmsFrac: 0.01, sigmaFrac: 0.04, taper: true, key: 5 },
                  { width, height, random: (key) => new CounterRandom({ seed: key, path: "f" }) },
                )
              : null;
            const clip = [3, 2, 55, 47] as const;
            const table = spanTable({
              inverse: invert(map),
              field,
              sourceWidth: 61,
              sourceHeight: 47,
              rect: { left: 0, top: 0, right: width, bottom: height },
              clip: border === "constant" ? clip : null,
            });
            kernels.warp({ target: image, source, table, clip, border });
          });
        }
      }
    }
  });
  test("nothing stays allocated", () => {
    const before = wasm.memory.usedBytes;
    run(wasm, 64, 48, 3, (image) => wasm.boxBlur(image, 5));
    expect(wasm.memory.usedBytes).toBe(before);
  });
});
