// npm run bench -- NAME [--json] [--peer]
import process from "node:process";
import type { BenchResult } from "./result.js";

/** All rows at once, or each as it is measured. */
type Bench = (options: { withPeer: boolean }) => Promise<BenchResult[]> | AsyncIterable<BenchResult>;

/** Loaded when asked for: one benchmark must not need what another one does. */
const benches: Record<string, () => Promise<Bench>> = {
  augment: async () => (await import("./augment.js")).augment,
  passes: async () => (await import("./passes.js")).passes,
  "train-epoch": async () => (await import("./train-epoch.js")).trainEpoch,
  "quantize-int8": async () => (await import("./quantize-int8.js")).quantizeInt8,
  "export-check": async () => (await import("./export-check.js")).exportCheck,
  "export-consumer": async () => (await import("./export-consumer.js")).exportConsumer,
  "export-large": async () => (await import("./export-large.js")).exportLarge,
  "export-codec": async () => (await import("./export-codec.js")).exportCodec,
  "train-step": async () => (await import("./train-step.js")).trainStep,
  "hub-download": async () => (await import("./hub-download.js")).hubDownload,
  "hub-s3": async () => (await import("./hub-s3.js")).hubS3,
  "hub-http": async () => (await import("./hub-http.js")).hubHttp,
  infer: async () => (await import("./infer.js")).infer,
  advisor: async () => (await import("./advisor.js")).advisor,
  "plan-memory": async () => (await import("./plan-memory.js")).planMemory,
  memory: async () => (await import("./memory.js")).memory,
  ops: async () => (await import("./ops.js")).ops,
  runtime: async () => (await import("./runtime.js")).runtime,
  "coco-eval": async () => (await import("./coco-eval.js")).cocoEval,
  "coco-masks": async () => (await import("./coco-masks.js")).cocoMasks,
  convert: async () => (await import("./convert.js")).convertBench,
  load: async () => (await import("./load.js")).load,
  "grounding-dino": async () => (await import("./grounding-dino.js")).groundingDino,
  sam: async () => (await import("./sam.js")).sam,
  "lora-step": async () => (await import("./lora-step.js")).loraStep,
  weights: async () => (await import("./weights.js")).weights,
  tflite: async () => (await import("./tflite.js")).tflite,
  "teacher-cache": async () => (await import("./teacher-cache.js")).teacherCache,
  split: async () => (await import("./split.js")).split,
  "hub-registry": async () => (await import("./hub-registry.js")).hubRegistry,
  predict: async () => (await import("./predict.js")).predict,
  preprocess: async () => (await import("./preprocess.js")).preprocess,
};

/** One name for several. */
const groups: Readonly<Record<string, readonly string[]>> = {
  hub: ["hub-download", "hub-s3", "hub-registry", "hub-http"],
};

const words = process.argv.slice(2);
const names = words.filter((w) => !w.startsWith("--"));
const json = words.includes("--json");
const wanted = names.length > 0 ? names.flatMap((name) => groups[name] ?? [name]) : Object.keys(benches);
for (const name of wanted) {
  const load = benches[name];
  if (load === undefined) {
    process.stderr.write(
      `error: no benchmark "${name}". Known: ${[...Object.keys(benches), ...Object.keys(groups)].join(", ")}.\n`,
    );
    process.exit(2);
  }
  const bench = await load();
  for await (const result of await bench({ withPeer: words.includes("--peer") })) {
    if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
    else {
      const against =
        result.peerValue === undefined
          ? ""
          : `  ${result.peer}: ${result.peerValue.toFixed(2)} (ratio ${result.ratio?.toFixed(2)})`;
      process.stdout.write(
        `${result.bench}  ${result.case}  ${result.value.toFixed(2)} ${result.unit}${against}  ${result.note ?? ""}\n`,
      );
    }
  }
}
