// node --expose-gc weight-storage-child.ts fed|float16|frozen: Grounding DINO-T on a small picture in a fresh process, a line of JSON on stdout.
import process from "node:process";
import { GROUNDING_DINO_SIZES, GroundingDino, textBatch, textTensors } from "@seg/teachers";
import { compile, configure, freeze, storeAsFloat16 } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { cheapValues } from "./cheap-values.js";
import { median } from "./result.js";

const [HEIGHT, WIDTH] = [256, 320];
const RUNS = 7;
const [way] = process.argv.slice(2);

tf.env().set("PROD", true);
await tf.setBackend("onnxruntime");
configure({ threads: 1 });
const megabytes = (bytes: number): number => bytes / 1e6;
const rss = (): number => {
  globalThis.gc!();
  return megabytes(process.memoryUsage.rss());
};
const loadedMB = rss();
const model = new GroundingDino(GROUNDING_DINO_SIZES.tiny, { seed: 0, blank: true });
for (const parameter of cheapValues(model)) {
  // One by one: never all of it twice.
  if (way === "float16") storeAsFloat16(parameter.variable);
}
const variables = [...model.namedParameters().values()].map(({ variable }) => variable);
if (way === "frozen") freeze(variables);
const weightsMB = rss() - loadedMB;
const pixels = Float32Array.from({ length: 3 * HEIGHT * WIDTH }, (_, i) => ((i * 7919) % 255) / 64 - 2);
const text = textTensors(textBatch([[101, 1037, 4937, 1012, 1037, 6556, 2491, 1012, 102]]));
const detect = compile((x: tf.Tensor, words: typeof text) =>
  tf.tidy(() => {
    const { tokenLogits, boxes } = model.forward({ pixels: x as tf.Tensor4D, text: words }).layers.at(-1)!;
    return { tokenLogits, boxes };
  }),
);
const cpuMs: number[] = [];
for (let i = 0; i < RUNS; i++) {
  const before = process.cpuUsage();
  const x = tf.tensor4d(pixels, [1, HEIGHT, WIDTH, 3]);
  const output = detect(x, text);
  for (const tensor of Object.values(output)) tensor.dataSync();
  tf.dispose([x, output]);
  const { user, system } = process.cpuUsage(before);
  cpuMs.push((user + system) / 1000);
}
const restMB = rss() - loadedMB;
process.stdout.write(
  `${JSON.stringify({ weightsMB, restMB, peakMB: megabytes(process.resourceUsage().maxRSS * 1024) - loadedMB, cpuMs: median(cpuMs.slice(-3)) })}\n`,
);
