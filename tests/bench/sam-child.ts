// node sam-child.ts: SAM-B's image encoder on one picture of 1024 px for every line on stdin; see contestant.ts.
import { parseSamConfig, Sam } from "@seg/teachers";
import { compile, configure, freeze } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { answerLines } from "./answer-lines.js";

const SIZE = 1024;
tf.env().set("PROD", true);
await tf.setBackend("onnxruntime");
configure({ threads: 1 });
const sam = new Sam(parseSamConfig({}), { seed: 0 });
const pixels = Float32Array.from({ length: 3 * SIZE * SIZE }, (_, i) => ((i * 7919) % 255) / 64 - 2);
const encode = compile((x: tf.Tensor) => sam.encodeImage(x as tf.Tensor4D), { name: "the image encoder" });
freeze([...sam.vision_encoder.namedParameters().values()].map(({ variable }) => variable));
await answerLines(() => {
  const x = tf.tensor4d(pixels, [1, SIZE, SIZE, 3]);
  const y = encode(x);
  y.dataSync();
  tf.dispose([x, y]);
});
