// npm run bench -- NAME [--json] [--peer]
import process from "node:process";
import { augment } from "./augment.js";
import { cocoEval } from "./coco-eval.js";
import { cocoMasks } from "./coco-masks.js";
import { convertBench } from "./convert.js";
import { infer } from "./infer.js";
import { load } from "./load.js";
import { memory } from "./memory.js";
import { ops } from "./ops.js";
import { preprocess } from "./preprocess.js";
import type { BenchResult } from "./result.js";
import { runtime } from "./runtime.js";
import { split } from "./split.js";
import { trainStep } from "./train-step.js";

const benches: Record<string, (options: { withPeer: boolean }) => Promise<BenchResult[]>> = {
  augment,
  "train-step": trainStep,
  infer,
  memory,
  ops,
  runtime,
  "coco-eval": cocoEval,
  "coco-masks": cocoMasks,
  convert: convertBench,
  load,
  split,
  preprocess,
};

const words = process.argv.slice(2);
const names = words.filter((w) => !w.startsWith("--"));
const json = words.includes("--json");
const wanted = names.length > 0 ? names : Object.keys(benches);
for (const name of wanted) {
  const bench = benches[name];
  if (bench === undefined) {
    process.stderr.write(`error: no benchmark "${name}". Known: ${Object.keys(benches).join(", ")}.\n`);
    process.exit(2);
  }
  for (const result of await bench({ withPeer: words.includes("--peer") })) {
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
