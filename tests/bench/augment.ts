import { createRegistry, type Pipeline, type PipelineSample, pipelineFromConfig, transformTypes } from "@seg/augment";
import { decodeImage } from "@seg/preprocess";
import sharp from "sharp";
import type { BenchResult } from "./result.js";

const SIZE = 640;
const RUNS = 20;
/** Images of a pipeline measurement: every transform fires often enough. */
const IMAGES = 120;

/** A photograph's mixture of smooth areas, edges and texture; the same every time. */
function picture(width: number, height: number): Uint8Array {
  const data = new Uint8Array(width * height * 3);
  let state = 1;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++, i++) {
        // Xorshift: the benchmark's texture needs no quality.
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        const wave = 128 + 80 * Math.sin(x / 23 + c) * Math.cos(y / 31);
        data[i] = Math.max(0, Math.min(255, wave + (state & 15) + (((x >> 6) + (y >> 6)) & 1) * 30));
      }
    }
  }
  return data;
}

/** Squares of a tenth of the side as polygons. */
function sampleOf(image: PipelineSample["image"], instances: number): PipelineSample {
  const side = Math.min(image.width, image.height) / 10;
  const squares = Array.from({ length: instances }, (_, k) => {
    const x = ((k * 97) % 83) * ((image.width - side) / 83);
    const y = ((k * 61) % 79) * ((image.height - side) / 79);
    return [x, y, side, side] as const;
  });
  return {
    image,
    bboxes: squares.map((box) => [...box]),
    masks: squares.map(([x, y, w, h]) => [[x, y, x + w, y, x + w, y + h, x, y + h]]),
    labels: squares.map((_, k) => k % 3),
  };
}

/** CPU milliseconds (all threads of the process) and wall milliseconds of one call. */
function measure(act: () => void): { cpuMs: number; wallMs: number } {
  const start = process.cpuUsage();
  const at = performance.now();
  act();
  const wallMs = performance.now() - at;
  const { user, system } = process.cpuUsage(start);
  return { cpuMs: (user + system) / 1000, wallMs };
}

/** Least CPU milliseconds of one call after a warm-up: what it costs when nobody else disturbs caches, as the published tables give it. */
function best(act: () => void): number {
  for (let i = 0; i < 4; i++) act();
  return Math.min(...Array.from({ length: RUNS }, () => measure(act).cpuMs));
}

/** R, G, B planes of float32 in 0..1: what a network reads. */
function toTensor({ data }: { data: Uint8Array }, out: Float32Array): void {
  const plane = data.length / 3;
  for (let i = 0, p = 0; i < plane; i++, p += 3) {
    out[i] = data[p]! * (1 / 255);
    out[plane + i] = data[p + 1]! * (1 / 255);
    out[2 * plane + i] = data[p + 2]! * (1 / 255);
  }
}

/** The pipeline of a small inspection task: the example of the specification; and everything at once. */
const SPECS = {
  example: {
    characteristics: ["reflective_surface", "low_contrast"],
    environment: { lighting: "variable", camera: "fixed", background: "busy", distance: "variable" },
  },
  all: { characteristics: createRegistry().getAvailableCharacteristics() },
} as const;

const BACKENDS = ["typescript", "wasm"] as const;

/**
 * Augmentation at 640 px, one thread: every transform alone at medium magnitude (milliseconds, against the copy that every call makes), and
 * whole pipelines from the JPEG file to the tensor (images per second of CPU time).
 */
export async function augment(): Promise<BenchResult[]> {
  sharp.concurrency(1);
  sharp.cache(false);
  const image = { data: picture(SIZE, SIZE), width: SIZE, height: SIZE, channels: 3 };
  const jpeg = await sharp(Buffer.from(image.data), { raw: { width: SIZE, height: SIZE, channels: 3 } })
    .jpeg({ quality: 75 })
    .toBuffer();
  const registry = createRegistry();
  const results: BenchResult[] = [];
  const sample = sampleOf(image, 20);

  const tableOf = (data: Uint8Array, table: Uint8Array) => {
    for (let i = 0; i < data.length; i++) data[i] = table[data[i]!]!;
  };
  const scratch = image.data.slice();
  const identity = Uint8Array.from({ length: 256 }, (_, i) => i);
  results.push({
    bench: "augment",
    case: "yardstick: byte-wise table look-up of 640 x 640 x 3",
    value: best(() => tableOf(scratch, identity)),
    unit: "ms",
    note: "plain loop on this machine",
  });

  const single = (type: string | null, backend: (typeof BACKENDS)[number]): Pipeline => {
    const params =
      type === null
        ? {}
        : registry.getPipelineInfo({ characteristics: [], base: false, overrides: [{ type, p: 1 }] }).entries[0]!
            .params;
    return pipelineFromConfig(
      { schemaVersion: 1, transforms: type === null ? [] : [{ type, p: 1, ...params }] },
      { backend },
    );
  };
  for (const type of [null, ...transformTypes()]) {
    const [typescriptMs, wasmMs] = BACKENDS.map((backend) => {
      const pipeline = single(type, backend);
      let index = 0;
      return best(() => {
        pipeline.applySync(sample, { index: index++ });
      });
    }) as [number, number];
    results.push({
      bench: "augment",
      case: type ?? "no transform (copy, 20 instances)",
      value: wasmMs,
      unit: "ms WASM",
      peer: "TypeScript ms",
      peerValue: typescriptMs,
      ratio: wasmMs / typescriptMs,
    });
  }

  const tensor = new Float32Array(3 * SIZE * SIZE);
  for (const [name, spec] of Object.entries(SPECS)) {
    for (const intensity of ["low", "medium", "high"] as const) {
      for (const backend of BACKENDS) {
        const pipeline = registry.getPipeline({ ...spec, intensity }, { backend });
        // As many as are measured: every kernel has then been compiled, as it is in all but the first seconds of a training.
        for (let i = 0; i < IMAGES; i++) pipeline.applySync(sample, { index: 10_000 + i });
        const only = measure(() => {
          for (let index = 0; index < IMAGES; index++) pipeline.applySync(sample, { index });
        });
        const start = process.cpuUsage();
        const at = performance.now();
        for (let index = 0; index < IMAGES; index++) {
          const decoded = await decodeImage(jpeg);
          const { width, height, data } = decoded;
          const { image: out } = pipeline.applySync(
            { ...sample, image: { width, height, data, channels: 3 } },
            { index },
          );
          toTensor(out, tensor);
        }
        const wallMs = performance.now() - at;
        const { user, system } = process.cpuUsage(start);
        const cpuMs = (user + system) / 1000;
        results.push({
          bench: "augment",
          case: `${name} characteristics, ${intensity}, ${backend}`,
          value: (1000 * IMAGES) / cpuMs,
          unit: "images/s/core, JPEG to tensor",
          note: `${(cpuMs / IMAGES).toFixed(1)} ms CPU, ${(wallMs / IMAGES).toFixed(1)} ms wall an image; pipeline alone ${((1000 * IMAGES) / only.cpuMs).toFixed(0)} images/s (${(only.cpuMs / IMAGES).toFixed(1)} ms CPU)`,
        });
      }
    }
  }
  for (const instances of [0, 1, 20, 200]) {
    const pipeline = registry.getPipeline({ ...SPECS.all, intensity: "medium" });
    const loaded = sampleOf(image, instances);
    for (let i = 0; i < 10; i++) pipeline.applySync(loaded, { index: 10_000 + i });
    const { cpuMs } = measure(() => {
      for (let index = 0; index < 40; index++) pipeline.applySync(loaded, { index });
    });
    results.push({
      bench: "augment",
      case: `medium, ${instances} polygons`,
      value: cpuMs / 40,
      unit: "ms CPU an image",
    });
  }
  return results;
}
