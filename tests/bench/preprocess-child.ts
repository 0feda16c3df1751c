// node preprocess-child.ts [--peer]: prints the results as one line of JSON.
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  createPreprocessor,
  decodeImage,
  letterbox,
  type ModelKey,
  resizeCv2Linear,
  resizePillow,
} from "@seg/preprocess";
import sharp from "sharp";
import { startPreprocessPeer } from "./preprocess-peer.js";
import { type BenchResult, median } from "./result.js";

const SIZES = [
  [640, 427],
  [1920, 1280],
  [4000, 3000],
] as const;
const MODELS = ["grounding_dino", "sam", "yolov8_seg"] as const satisfies readonly ModelKey[];
const WARM_UP = 3;

/** A smooth scene with texture: compresses like a photograph (1.5 to 2 bits a pixel at quality 90). */
function scene(width: number, height: number): Uint8Array {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0, p = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      data[p++] = 128 + 100 * Math.sin(x / 37 + y / 91) + ((x * 7919 + y * 104_729) % 23);
      data[p++] = 128 + 90 * Math.cos(x / 53 - y / 71) + ((x * 31 + y * 17) % 19);
      data[p++] = 128 + 80 * Math.sin((x + y) / 113) + ((x ^ y) % 13);
    }
  }
  return data;
}

/** The synthetic picture whose resized bytes Pillow 12.3 and OpenCV 5.0 gave as below. */
function synthetic(width: number, height: number) {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0, p = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      data[p++] = 7 * x + 13 * y;
      data[p++] = x * x + 3 * y;
      data[p++] = (x ^ y) * 5;
    }
  }
  return { width, height, data };
}

/** First 16 digits of the SHA-256 of recorded results; a speed is worth nothing if one differs. */
function differingHashes(): number {
  const small = synthetic(640, 427);
  const large = synthetic(1920, 1080);
  const results: [data: Uint8Array, expected: string][] = [
    [resizePillow(small, 1024, 683).data, "af92ccae8ea1d81b"],
    [resizePillow(small, 1199, 800).data, "8a83d82e47a62562"],
    [resizePillow(large, 1333, 750).data, "6aa7540c8983225f"],
    [resizeCv2Linear(small, 1024, 683).data, "f880ede1ceae4bb4"],
    [resizeCv2Linear(large, 640, 360).data, "bc66854952095122"],
    [letterbox(small).image.data, "051fbcab94d88b51"],
    [letterbox(large).image.data, "0747df42097adab3"],
  ];
  return results.filter(([data, hash]) => !createHash("sha256").update(data).digest("hex").startsWith(hash)).length;
}

/** Milliseconds of a fixed loop of integer arithmetic: what this machine is worth at the moment. */
function calibration(): number {
  const started = process.cpuUsage();
  let state = 1;
  for (let i = 0; i < 2e7; i++) state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
  const { user, system } = process.cpuUsage(started);
  return (user + system) / 1000 + (state === 0 ? 1 : 0) * 0;
}

const quantile = (values: readonly number[], q: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))]!;

/** One JPEG at a time in CPU-milliseconds of the whole process, and worker threads in images a second. */
async function measure({ withPeer }: { withPeer: boolean }): Promise<BenchResult[]> {
  const dir = await mkdtemp(join(tmpdir(), "seg-bench-preprocess-"));
  const peer = withPeer ? await startPreprocessPeer() : null;
  const results: BenchResult[] = [];
  const missing = withPeer && peer === null ? "peer not available (Python with Pillow, torchvision, OpenCV), " : "";
  try {
    const calibrated = median(Array.from({ length: 5 }, calibration));
    results.push({
      bench: "preprocess",
      case: "reference hashes that differ",
      value: differingHashes(),
      unit: "of 7",
      note: `calibration loop ${calibrated.toFixed(1)} CPU-ms${peer === null ? "" : `; ${peer.versions}`}`,
    });
    for (const [width, height] of SIZES) {
      const file = join(dir, `${width}.jpg`);
      const raw = { width, height, channels: 3 } as const;
      await writeFile(file, await sharp(scene(width, height), { raw }).jpeg({ quality: 90 }).toBuffer());
      const bytes = await readFile(file);
      // One of ours, one of the peer's, and so on: a slow moment of the machine meets both.
      const rounds = width > 2000 ? 11 : 25;
      for (const model of ["decode", ...MODELS] as const) {
        const pre = model === "decode" ? null : createPreprocessor([model], { config: { runtime: { workers: 0 } } });
        const size: number[] = [width, height];
        const once = async () => {
          if (pre === null) return decodeImage(bytes);
          const prepared = (await pre.run(bytes))[model as (typeof MODELS)[number]];
          size[0] = prepared.meta.contentW;
          size[1] = prepared.meta.contentH;
          // What Python does at once when the tensor goes out of scope.
          return pre.release(prepared);
        };
        const cpu: number[] = [];
        const wall: number[] = [];
        const other: number[] = [];
        for (let i = 0; i < WARM_UP; i++) await once();
        await peer?.run({ file, model, size, repeats: WARM_UP });
        for (let round = 0; round < rounds; round++) {
          const cpuStart = process.cpuUsage();
          const wallStart = performance.now();
          await once();
          const { user, system } = process.cpuUsage(cpuStart);
          cpu.push((user + system) / 1000);
          wall.push(performance.now() - wallStart);
          if (peer !== null) other.push(...(await peer.run({ file, model, size, repeats: 1 })));
        }
        const value = median(cpu);
        const peerValue = other.length > 0 ? median(other) : null;
        const rate = `${(1000 / value).toFixed(1)} images/s per core`;
        const ratios = other.map((ms, i) => ms / cpu[i]!);
        const against =
          peerValue === null
            ? ""
            : `, ${median(ratios).toFixed(2)}x the peer's (quartiles ${quantile(ratios, 0.25).toFixed(2)}-${quantile(ratios, 0.75).toFixed(2)})`;
        results.push({
          bench: "preprocess",
          case: `${model} ${width} x ${height}`,
          value,
          unit: "CPU-ms/image",
          note: `${missing}${rate}${against}; wall p50 ${quantile(wall, 0.5).toFixed(1)} p95 ${quantile(wall, 0.95).toFixed(1)} ms, ${(value / calibrated).toFixed(2)} calibration loops`,
          ...(peerValue === null
            ? {}
            : {
                peer:
                  model === "yolov8_seg" ? "OpenCV + torch" : model === "decode" ? "Pillow" : "Pillow + torchvision",
                peerValue,
                ratio: value / peerValue,
              }),
        });
        await pre?.close();
      }
    }
    results.push(...(await throughput(join(dir, "1920.jpg"))));
  } finally {
    peer?.close();
    await rm(dir, { recursive: true, force: true });
  }
  return results;
}

/** Images a second of three models at once, by number of worker threads; more threads than twice the cores tell nothing. */
async function throughput(file: string): Promise<BenchResult[]> {
  const results: BenchResult[] = [];
  const counts = [0, 1, 2, 4, 8].filter((count) => count <= 2 * availableParallelism());
  let single = 0;
  for (const workers of counts) {
    const pre = createPreprocessor(MODELS, { config: { runtime: { workers } } });
    const run = async (images: number) => {
      let rss = 0;
      for await (const { models } of pre.batches(Array<string>(images).fill(file), { batchSize: 1 })) {
        rss = Math.max(rss, process.memoryUsage.rss());
        pre.release(...Object.values(models));
      }
      return rss;
    };
    await run(2 * Math.max(1, workers));
    const started = performance.now();
    const images = 24;
    const rss = await run(images);
    const value = (1000 * images) / (performance.now() - started);
    if (workers === 1) single = value;
    const scaling = workers > 1 ? `, ${(value / single).toFixed(2)}x one worker` : "";
    results.push({
      bench: "preprocess",
      case: `${MODELS.join(" + ")} 1920 x 1280, ${workers} workers`,
      value,
      unit: "images/s",
      note: `RSS at most ${(rss / 2 ** 20).toFixed(0)} MB${scaling}; ${availableParallelism()} cores`,
    });
    await pre.close();
  }
  return results;
}

process.stdout.write(`${JSON.stringify(await measure({ withPeer: process.argv.includes("--peer") }))}\n`);
