import process from "node:process";
import type { CocoDataset } from "@seg/coco-dataset";
import { type AdapterCandidate, fingerprintDataset, ModelPool, makePlan, recommendAdapters } from "@seg/model-hub";
import { type BenchResult, median } from "./result.js";

const ROUNDS = 7;

/** Median CPU-milliseconds of `work` after one run that does not count. */
async function cpu(work: () => unknown): Promise<number> {
  await work();
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(start);
    times.push((user + system) / 1000);
  }
  return median(times);
}

/** 10,000 images with ten boxes each. */
function manyAnnotations(): CocoDataset {
  const images = Array.from({ length: 10_000 }, (_, i) => ({
    id: i + 1,
    file_name: `${i}.jpg`,
    width: 1280,
    height: 720,
  }));
  const annotations = Array.from({ length: 100_000 }, (_, i) => ({
    id: i + 1,
    image_id: (i % 10_000) + 1,
    category_id: (i % 20) + 1,
    bbox: [(i * 37) % 1100, (i * 53) % 600, 20 + (i % 90), 20 + (i % 70)],
    area: 400,
    iscrowd: 0,
  }));
  const categories = Array.from({ length: 20 }, (_, i) => ({ id: i + 1, name: `class ${i}` }));
  return { images, annotations, categories } as unknown as CocoDataset;
}

const WORDS =
  "blood cell leaf crack scratch metal car road field drone microscope tissue apple bottle label screw".split(" ");

const adapters = Array.from(
  { length: 1000 },
  (_, i): AdapterCandidate => ({
    id: `adapter-${i}`,
    name: `${WORDS[i % 16]} ${WORDS[(i * 7) % 16]}`,
    description: Array.from({ length: 30 }, (_, k) => WORDS[(i * 31 + k * k) % 16]).join(" "),
    kind: "lora",
    baseModel: null,
    licence: "apache-2.0",
    downloads: (i * 7919) % 100_000,
    rating: null,
    owner: null,
    tags: [WORDS[(i * 3) % 16]!],
    safety: { nsfw: false, safeFormat: true, pickleScan: null },
  }),
);

/** Time of the advisor's and the pool's parts that a person or a request waits for. */
export async function* advisor(): AsyncGenerator<BenchResult> {
  const dataset = manyAnnotations();
  const row = (name: string, value: number, unit: string, note: string): BenchResult => ({
    bench: "advisor",
    case: name,
    value,
    unit,
    note,
  });
  yield row(
    "fingerprint of 100,000 annotations",
    await cpu(() => fingerprintDataset(dataset)),
    "CPU-ms",
    "target 2,000",
  );
  const fingerprint = await fingerprintDataset(dataset);
  yield row("plan with counterfactuals", await cpu(() => makePlan({ fingerprint })), "CPU-ms", "");
  const task = "find cracks and scratches on metal";
  yield row(
    "recommend among 1,000 adapters",
    await cpu(() => recommendAdapters({ task, classNames: ["crack", "scratch"], candidates: adapters })),
    "CPU-ms",
    "target 50",
  );
  const pool = new ModelPool({ devices: [{ id: "cpu", totalBytes: 100, reserveBytes: 0 }] });
  const loader = { weightBytes: 10, load: async () => ({ model: 1, bytes: 10, dispose: () => undefined }) };
  (await pool.acquire("a", loader)).release();
  const times = new Float64Array(100_000);
  for (let i = 0; i < times.length; i++) {
    const start = performance.now();
    (await pool.acquire("a", loader)).release();
    times[i] = performance.now() - start;
  }
  times.sort();
  yield row(
    "acquire and release of a resident model",
    times[times.length / 2]! * 1000,
    "µs median",
    `99 % below ${(times[Math.floor(times.length * 0.99)]! * 1000).toFixed(1)}; target 10`,
  );
}
