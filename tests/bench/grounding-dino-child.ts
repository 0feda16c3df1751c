// node grounding-dino-child.ts: the whole Grounding DINO-T on one picture of 800 x 1066 px for every line on stdin; see contestant.ts.
import { GROUNDING_DINO_SIZES, GroundingDino, textBatch, textTensors } from "@seg/teachers";
import { compile, configure, freeze } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { answerLines } from "./answer-lines.js";
import { cheapValues } from "./cheap-values.js";

const [HEIGHT, WIDTH] = [800, 1066];
tf.env().set("PROD", true);
await tf.setBackend("onnxruntime");
configure({ threads: 1 });
const model = new GroundingDino(GROUNDING_DINO_SIZES.tiny, { seed: 0, blank: true });
const parameters = [...cheapValues(model)];
const pixels = Float32Array.from({ length: 3 * HEIGHT * WIDTH }, (_, i) => ((i * 7919) % 255) / 64 - 2);
const text = textTensors(textBatch([[101, 1037, 4937, 1012, 1037, 6556, 2491, 1012, 1037, 3899, 1012, 102]]));
const detect = compile(
  (x: tf.Tensor, words: typeof text) =>
    tf.tidy(() => {
      const { tokenLogits, boxes } = model.forward({ pixels: x as tf.Tensor4D, text: words }).layers.at(-1)!;
      return { tokenLogits, boxes };
    }),
  { name: "the detection" },
);
freeze(parameters.map(({ variable }) => variable));
await answerLines(() => {
  const x = tf.tensor4d(pixels, [1, HEIGHT, WIDTH, 3]);
  const output = detect(x, text);
  for (const tensor of Object.values(output)) tensor.dataSync();
  tf.dispose([x, output]);
});
