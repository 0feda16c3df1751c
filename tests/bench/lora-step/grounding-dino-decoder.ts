import { injectLora } from "@seg/lora";
import {
  DetectionStep,
  forwardHeads,
  GROUNDING_DINO_SIZES,
  GroundingDino,
  groundingDinoTargets,
  headsOf,
  textBatch,
  textOf,
  textTensors,
} from "@seg/teachers";
import { adamw, TrainingManager } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import type { StepCase, StepMode } from "./step-case.js";

/** Height and width of the timed step. */
const FULL_SIZE = [800, 1066] as const;

/** Cells of the four levels of an image: strides 8, 16, 32, then half of the last. */
function cellsOf(height: number, width: number): number {
  let [rows, columns] = [Math.ceil(height / 8), Math.ceil(width / 8)];
  let cells = 0;
  for (let level = 0; level < 4; level++) {
    cells += rows * columns;
    [rows, columns] = [Math.ceil(rows / 2), Math.ceil(columns / 2)];
  }
  return cells;
}
/** "a b. c d. e." */
const CAPTION = [101, 2000, 2001, 1012, 2002, 2003, 1012, 2004, 1012, 102];

/** Deterministic values in [-1, 1). */
const values = (length: number, factor: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => (((i * factor) % 2003) / 2003) * 2 - 1);

/**
 * Grounding DINO-T with random weights on 800 x 1066 (or another size), five boxes of three classes, Hungarian matching and auxiliary losses. `lora`: rank 16 on the decoder's self attention,
 * cached features of the enhancer. `full`: every weight from pixels.
 */
export function groundingDinoDecoder(
  mode: StepMode,
  images: number,
  [height, width]: readonly [number, number] = FULL_SIZE,
): StepCase {
  const cells = cellsOf(height, width);
  const model = new GroundingDino(GROUNDING_DINO_SIZES.tiny, { seed: 0 });
  const parameters =
    mode === "lora"
      ? injectLora(
          model,
          { r: 16, loraAlpha: 32, targetModules: groundingDinoTargets("decoder-self") },
          { seed: 0 },
        ).trainableParameters()
      : model.namedParameters();
  const text = textBatch(Array.from({ length: images }, () => CAPTION));
  const step = new DetectionStep({
    rows: 5,
    forward: (inputs) => {
      if (mode === "full") return forwardHeads(model, inputs, { encoder: true });
      const encoded = { vision: inputs["vision"] as tf.Tensor3D, text: inputs["fusedText"] as tf.Tensor3D };
      const geometry = model.geometry({ height, width }, null);
      return headsOf(model.decode(encoded, { geometry, textMask: textOf(inputs).textMask }), { encoder: false });
    },
  });
  const training = new TrainingManager({
    model,
    optimizer: adamw({ weightDecay: 1e-4 }),
    groups: [{ name: "all", parameters, decay: true }],
    lr: 1e-4,
    clip: { maxNorm: 0.1 },
  });
  const boxes = Array.from({ length: 5 }, (_, i) => [0.15 + 0.15 * i, 0.3 + 0.1 * i, 0.1 + 0.05 * i, 0.2] as const);
  const targets = Array.from({ length: images }, () => ({ phrases: [0, 1, 2, 0, 1], boxes }));
  const data =
    mode === "lora"
      ? { vision: values(images * cells * 256, 7919), fusedText: values(images * CAPTION.length * 256, 4001) }
      : { pixels: values(images * height * width * 3, 7919) };
  let trainable = 0;
  for (const { size } of parameters.values()) trainable += size;
  return {
    trainable,
    async step() {
      const given: Record<string, tf.Tensor> =
        "pixels" in data
          ? { pixels: tf.tensor4d(data.pixels, [images, height, width, 3]) }
          : {
              vision: tf.tensor3d(data.vision, [images, cells, 256]),
              fusedText: tf.tensor3d(data.fusedText, [images, CAPTION.length, 256]),
            };
      const inputs = await step.prepare({
        inputs: { ...given, ...textTensors(text) },
        targets,
        phraseTokens: text.phrases.map((list) =>
          list.map(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i)),
        ),
        textMask: text.textMask,
      });
      await training.step(step.loss, inputs);
      tf.dispose({ ...inputs });
    },
  };
}
