import { KERNELS_WASM } from "../generated/kernels-wasm.js";
import { LARGEST_EXACT_BOX } from "./blur.js";
import { equalisingTables, tileWeights } from "./clahe.js";
import type { Kernels } from "./kernels.js";
import { NOISE_MASK, NOISE_SIZE, noiseTable } from "./noise-table.js";
import { padInto } from "./pad.js";
import { typescriptKernels } from "./typescript-kernels.js";
import { WasmMemory } from "./wasm-memory.js";
import { type WasmMemoryObject, webAssembly } from "./web-assembly.js";
import type { SourceImage, WorkImage } from "./work-image.js";

type Call = (...values: number[]) => number;

interface Exports {
  readonly memory: WasmMemoryObject;
  readonly warp3: Call;
  readonly boxBlur: Call;
  readonly lineBlur: Call;
  readonly sharpen: Call;
  readonly separable: Call;
  readonly noise: Call;
  readonly mix: Call;
  readonly channelSums: Call;
  readonly colorMatrix: Call;
  readonly hsvShift: Call;
  readonly veil3: Call;
  readonly luma3: Call;
  readonly claheMap3: Call;
}

/** int16 is what the SIMD multiplications take. */
const fits16 = (value: number): boolean => value >= -32768 && value <= 32767;

/** Pixel loops in WASM SIMD, or null where the engine has no SIMD. */
export function createWasmKernels(): (Kernels & { readonly memory: WasmMemory }) | null {
  if (webAssembly === undefined) return null;
  const bytes = Buffer.from(KERNELS_WASM, "base64");
  // The feature test: an engine without SIMD refuses the module itself.
  if (!webAssembly.validate(bytes)) return null;
  const instance = new webAssembly.Instance(new webAssembly.Module(bytes), {
    env: {
      abort: () => {
        throw new Error("A WASM kernel of @seg/augment stopped.");
      },
    },
  });
  const wasm = instance.exports as unknown as Exports;
  const memory = new WasmMemory(wasm.memory);

  const bytesAt = (address: number, length: number) => new Uint8Array(memory.buffer, address, length);
  const isInside = (data: Uint8Array) => data.buffer === memory.buffer;

  /** Address of the pixels, copied in where they lie elsewhere. */
  function borrow<T>(data: Uint8Array, use: (address: number) => T): T {
    if (isInside(data)) return use(data.byteOffset);
    const address = memory.allocate(data.length);
    try {
      bytesAt(address, data.length).set(data);
      return use(address);
    } finally {
      memory.free(address);
    }
  }

  /** The same, and the result copied back. */
  function change(image: WorkImage, use: (address: number) => void): void {
    borrow(image.data, (address) => {
      use(address);
      const { data } = image;
      if (!isInside(data)) data.set(bytesAt(address, data.length));
    });
  }

  function scratch<T>(bytes: number, use: (address: number) => T): T {
    const address = memory.allocate(bytes);
    try {
      return use(address);
    } finally {
      memory.free(address);
    }
  }

  /** A reflect101-padded copy. */
  function padded(image: SourceImage, radius: number, use: (address: number) => void): void {
    const size = (image.width + 2 * radius) * (image.height + 2 * radius) * image.channels;
    scratch(size, (address) => {
      // After the allocation: memory may have moved, and with it the pixels.
      padInto({ ...image, data: image.data }, radius, bytesAt(address, size));
      use(address);
    });
  }

  const put32 = (values: ArrayLike<number>, use: (address: number) => void): void =>
    scratch(4 * values.length, (address) => {
      new Int32Array(memory.buffer, address, values.length).set(values as Int32Array);
      use(address);
    });

  /** Twice the table, so that a row may start anywhere; made at first use. */
  let noiseAddress = 0;
  const noiseAt = (): number => {
    if (noiseAddress === 0) {
      noiseAddress = memory.allocate(4 * NOISE_SIZE);
      const table = noiseTable();
      const copy = new Int16Array(memory.buffer, noiseAddress, 2 * NOISE_SIZE);
      copy.set(table);
      copy.set(table, NOISE_SIZE);
    }
    return noiseAddress;
  };

  class WasmImage implements WorkImage {
    readonly width: number;
    readonly height: number;
    readonly channels: number;
    readonly address: number;
    #view: Uint8Array;
    constructor(width: number, height: number, channels: number) {
      this.width = width;
      this.height = height;
      this.channels = channels;
      this.address = memory.allocate(width * height * channels);
      this.#view = bytesAt(this.address, width * height * channels);
    }
    get data(): Uint8Array {
      // Growing the memory detaches its views.
      if (this.#view.buffer !== memory.buffer) {
        this.#view = bytesAt(this.address, this.width * this.height * this.channels);
      }
      return this.#view;
    }
  }

  const fallback = typescriptKernels;
  const kernels: Kernels & { readonly memory: WasmMemory } = {
    name: "wasm",
    memory,
    createImage: (width, height, channels) => new WasmImage(width, height, channels),
    detach(image) {
      // Memory of its own (so that it can be moved to another thread), not cleared first.
      const copy = new Uint8Array(Buffer.allocUnsafeSlow(image.data.length).buffer as ArrayBuffer);
      copy.set(image.data);
      kernels.release(image);
      return copy;
    },
    release(image) {
      if (image instanceof WasmImage) memory.free(image.address);
    },
    warp(options) {
      const { target, source, table, clip, border } = options;
      if (source.channels !== 3 || target.channels !== 3 || border === "reflect" || border === "wrap") {
        fallback.warp(options);
        return;
      }
      borrow(source.data, (src) => {
        scratch(table.spans.length * 4, (spans) => {
          new Int32Array(memory.buffer, spans, table.spans.length).set(table.spans);
          change(target, (dst) => {
            wasm.warp3(
              src,
              source.width,
              source.height,
              dst,
              target.width,
              spans,
              table.count,
              ...clip.map((v) => Math.round(v * 65536)),
              border === "constant" ? 1 : 0,
            );
          });
        });
      });
    },
    lut: fallback.lut,
    boxBlur(image, k) {
      if (k > LARGEST_EXACT_BOX) {
        fallback.boxBlur(image, k);
        return;
      }
      if (k <= 1) return;
      const { width, height, channels } = image;
      padded(image, (k - 1) >> 1, (src) =>
        scratch(2 * (width + k) * channels + 128, (sums) =>
          change(image, (dst) => {
            wasm.boxBlur(src, dst, width, height, channels, k, sums);
          }),
        ),
      );
    },
    lineBlur(image, offsets) {
      const n = offsets.length / 2;
      const radius = offsets.reduce((largest, offset) => Math.max(largest, Math.abs(offset)), 0);
      if (radius === 0) return;
      if (n > 225) {
        fallback.lineBlur(image, offsets);
        return;
      }
      const { width, height, channels } = image;
      const stride = (width + 2 * radius) * channels;
      const taps = Array.from(
        { length: n },
        (_, t) => (radius + offsets[2 * t + 1]!) * stride + (radius + offsets[2 * t]!) * channels,
      );
      padded(image, radius, (src) =>
        put32(taps, (at) =>
          change(image, (dst) => {
            wasm.lineBlur(src, stride, dst, width * channels, height, at, n);
          }),
        ),
      );
    },
    sharpen(image, centre, side) {
      if (!fits16(centre) || !fits16(side)) {
        fallback.sharpen(image, centre, side);
        return;
      }
      const { width, height, channels } = image;
      padded(image, 1, (src) =>
        change(image, (dst) => {
          wasm.sharpen(src, dst, width * channels, height, channels, centre, side);
        }),
      );
    },
    separable(image, weights) {
      const radius = (weights.length - 1) >> 1;
      if (radius === 0) return;
      const { width, height, channels } = image;
      padded(image, radius, (src) =>
        put32(weights.subarray(radius), (at) =>
          scratch(2 * width * channels * (height + 2 * radius), (middle) =>
            change(image, (dst) => {
              wasm.separable(src, dst, width * channels, height, channels, at, radius, middle);
            }),
          ),
        ),
      );
    },
    noise(image, rowOffsets, scale, shift, isShared) {
      const rowBytes = image.width * image.channels;
      if (isShared || rowBytes > NOISE_SIZE) {
        fallback.noise(image, rowOffsets, scale, shift, isShared);
        return;
      }
      const table = noiseAt();
      put32(rowOffsets, (offsets) =>
        change(image, (data) => {
          wasm.noise(data, rowBytes, image.height, offsets, NOISE_MASK, table, scale, shift);
        }),
      );
    },
    channelSums(image) {
      const pixels = image.width * image.height;
      if (pixels > 2 ** 24) return fallback.channelSums(image);
      return scratch(32, (at) => {
        const done = borrow(image.data, (data) => wasm.channelSums(data, pixels, at));
        const [r, g, b] = new Uint32Array(memory.buffer, at, 3) as unknown as [number, number, number];
        const rest = fallback.channelSums(restOf(image, done));
        return [r + rest[0], g + rest[1], b + rest[2]] as const;
      });
    },
    colorMatrix(image, matrix) {
      if (matrix.some((value, i) => i % 4 !== 3 && !fits16(value))) {
        fallback.colorMatrix(image, matrix);
        return;
      }
      let done = 0;
      const pixels = image.width * image.height;
      put32(matrix, (m) =>
        change(image, (data) => {
          done = wasm.colorMatrix(data, pixels, m);
        }),
      );
      fallback.colorMatrix(restOf(image, done), matrix);
    },
    hsvShift(image, hue, saturation, value) {
      let done = 0;
      scratch(64, (at) =>
        change(image, (data) => {
          done = wasm.hsvShift(data, image.width * image.height, hue / 30, saturation, value, at);
        }),
      );
      fallback.hsvShift(restOf(image, done), hue, saturation, value);
    },
    veil(image, plane, color) {
      const { width, height, channels } = image;
      if (channels !== 3) {
        fallback.veil(image, plane, color);
        return;
      }
      const [c0 = 0, c1 = c0, c2 = c0] = color;
      scratch(2 * plane.length, (at) => {
        scratch(2 * width + 128, (row) =>
          scratch(2 * width + 128, (t) => {
            new Uint16Array(memory.buffer, at, plane.length).set(plane);
            change(image, (data) => {
              wasm.veil3(data, width, height, at, c0, c1, c2, row, t);
            });
          }),
        );
      });
    },
    mix(image, other, weight) {
      if (weight <= 0 || weight >= 32768) {
        fallback.mix(image, other, weight);
        return;
      }
      borrow(other.data, (b) =>
        change(image, (a) => {
          wasm.mix(a, b, image.width * image.height * image.channels, weight);
        }),
      );
    },
    clahe(image, clipLimit, columns, rows) {
      const { width, height, channels } = image;
      if (channels !== 3) {
        fallback.clahe(image, clipLimit, columns, rows);
        return;
      }
      const pixels = width * height;
      scratch(pixels, (luma) =>
        change(image, (data) => {
          wasm.luma3(data, pixels, luma);
          const tileHeight = Math.ceil(height / rows);
          const tables = equalisingTables({
            luma: bytesAt(luma, pixels),
            width,
            height,
            tileWidth: Math.ceil(width / columns),
            tileHeight,
            columns,
            rows,
            clipLimit,
          });
          const { tileA, tileB, weight } = tileWeights(width, columns);
          const lists = [tileA, tileB, weight];
          // Tables, three lists of columns, one row of tables, one row of changes.
          const size = tables.length + 3 * 4 * width + 2 * columns * 256 + 2 * width + 256;
          scratch(size, (at) => {
            bytesAt(at, tables.length).set(tables);
            const listAt = (at + tables.length + 15) & ~15;
            lists.forEach((list, k) => {
              new Int32Array(memory.buffer, listAt + 4 * width * k, width).set(list);
            });
            const rowAt = (listAt + 12 * width + 15) & ~15;
            wasm.claheMap3(
              data,
              luma,
              width,
              height,
              at,
              columns,
              rows,
              tileHeight,
              listAt,
              listAt + 4 * width,
              listAt + 8 * width,
              rowAt,
              (rowAt + 2 * columns * 256 + 15) & ~15,
            );
          });
        }),
      );
    },
  };
  return kernels;
}

/** The pixels after the first `done`, as a row. */
function restOf(image: SourceImage, done: number): WorkImage {
  const { channels } = image;
  return {
    width: image.width * image.height - done,
    height: 1,
    channels,
    data: image.data.subarray(done * channels),
  };
}
