import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readSafetensors, type SafetensorsFile } from "@seg/nn";
import { type Geometry, samMaskToImage } from "@seg/preprocess";
import { Sam, type SamPrompts } from "@seg/teachers";
import * as tf from "@tensorflow/tfjs";

/** Receives the outcome of every comparison. */
export interface ParityCheck {
  ok(name: string, pass: boolean, detail?: string): void;
  skip(name: string, reason: string): void;
}

interface Tolerance {
  readonly atol: number;
  readonly rtol: number;
}

// fixtures/sam/README.md, "How to compare".
const EMBEDDINGS: Tolerance = { atol: 2e-5, rtol: 1e-4 };
const MASKS: Tolerance = { atol: 1e-4, rtol: 1e-4 };
const IOU: Tolerance = { atol: 2e-5, rtol: 0 };
/** Thresholded masks must agree where the logit is farther from 0 than this. */
const CLEAR_LOGIT = 1e-3;

/** Compares every stored stage of a SAM model with ours. `dir` holds model/, inputs, vision, cases/, post/ as fixtures/sam/README.md describes. */
export async function run(dir: string, check: ParityCheck): Promise<void> {
  const inputs = readSafetensors(join(dir, "inputs.safetensors"));
  const sam = Sam.fromPretrained(join(dir, "model"));
  try {
    const pixels = tf.tidy(() => tf.transpose(load(inputs, "pixel_values"), [0, 2, 3, 1]) as tf.Tensor4D);
    const traced = new Map<string, tf.Tensor>();
    const trace = (name: string, tensor: tf.Tensor) => {
      traced.get(name)?.dispose();
      traced.set(name, tf.keep(tensor.clone()));
    };
    const embeddings = tf.tidy(() => sam.encodeImage(pixels, { trace }));
    traced.set(
      "image_positional_embeddings",
      tf.tidy(() => {
        const { shape } = embeddings;
        return tf.reshape(sam.imagePositions(), [1, shape[1], shape[2], shape[3]]);
      }),
    );
    const vision = readSafetensors(join(dir, "vision.safetensors"));
    for (const name of vision.names()) {
      await compare(check, `vision/${name}`, vision, name, traced.get(name), EMBEDDINGS);
    }
    clear(traced);

    const predictions = new Map<string, tf.Tensor>();
    for (const file of readdirSync(join(dir, "cases")).sort()) {
      const name = file.replace(/\.safetensors$/, "");
      const golden = readSafetensors(join(dir, "cases", file));
      for (const multimask of [true, false]) {
        const { lowResMasks, iou } = tf.tidy(() =>
          sam.predictMasks({
            imageEmbeddings: embeddings,
            multimask,
            // Mask 0's hypernetwork runs in single mode, the others in multi mode; the rest is the same in both.
            trace,
            ...prompts(inputs, name),
          }),
        );
        const mode = multimask ? "multi" : "single";
        traced.set(`low_res_masks.${mode}`, lowResMasks);
        traced.set(`iou.${mode}`, iou);
        if (multimask) predictions.set(name, tf.clone(lowResMasks));
      }
      for (const key of golden.names()) {
        const tolerance = key.startsWith("low_res_masks") ? MASKS : key.startsWith("iou") ? IOU : EMBEDDINGS;
        await compare(check, `${name}/${key}`, golden, key, traced.get(key), tolerance);
      }
      clear(traced);
    }
    await comparePost(dir, predictions, check);
    clear(predictions);
    pixels.dispose();
    embeddings.dispose();
  } finally {
    sam.dispose();
  }
}

function clear(tensors: Map<string, tf.Tensor>): void {
  for (const tensor of tensors.values()) tensor.dispose();
  tensors.clear();
}

function load(file: SafetensorsFile, name: string): tf.Tensor {
  const { shape, data } = file.tensor(name);
  return tf.tensor(data instanceof BigInt64Array ? Float32Array.from(data, Number) : data, [...shape], "float32");
}

/** The prompts that a case's name lists; `all` means each of them. */
function prompts(inputs: SafetensorsFile, name: string): SamPrompts {
  const has = (word: string) => name === "all" || name.includes(word);
  return {
    ...(has("box") && { boxes: load(inputs, "input_boxes") as tf.Tensor3D }),
    ...(has("point") && {
      points: load(inputs, "input_points") as tf.Tensor4D,
      labels: load(inputs, "input_labels") as tf.Tensor3D,
    }),
    ...(has("mask") && { masks: tf.transpose(load(inputs, "input_masks"), [0, 2, 3, 1]) as tf.Tensor4D }),
  };
}

/** Ours are channels last, some of the stored maps channels first, and dense maps without a mask prompt are kept unbroadcast. */
function align(tensor: tf.Tensor, shape: readonly number[]): tf.Tensor {
  return tf.tidy(() => {
    const size = shape.reduce((a, b) => a * b, 1);
    if (shape.length === 4 && tensor.rank === 4) {
      const [batch, channels, height, width] = shape as [number, number, number, number];
      const [, ownHeight, ownWidth, ownChannels] = tensor.shape as [number, number, number, number];
      if (ownHeight === 1 && height > 1 && ownChannels === channels) {
        return tf.transpose(tf.tile(tensor, [batch, height, width, 1]), [0, 3, 1, 2]);
      }
      if (ownChannels === channels && ownHeight === height && ownWidth === width && ownHeight !== channels) {
        return tf.transpose(tensor, [0, 3, 1, 2]);
      }
      const sameAsStored = tensor.shape.every((d, i) => d === shape[i]);
      if (!sameAsStored && ownChannels === channels) return tf.transpose(tensor, [0, 3, 1, 2]);
    }
    return tensor.size === size ? tf.reshape(tensor, [...shape]) : tf.clone(tensor);
  });
}

async function compare(
  check: ParityCheck,
  label: string,
  file: SafetensorsFile,
  key: string,
  actual: tf.Tensor | undefined,
  { atol, rtol }: Tolerance,
): Promise<void> {
  if (!actual) return check.skip(label, "not exposed by the model");
  const golden = file.tensor(key);
  const aligned = align(actual, golden.shape);
  const values = await aligned.data();
  aligned.dispose();
  const expected = golden.data as Float32Array;
  if (values.length !== expected.length) {
    return check.ok(label, false, `shape [${actual.shape}], expected [${golden.shape}]`);
  }
  let worst = 0;
  let at = 0;
  for (let i = 0; i < expected.length; i++) {
    const ratio = Math.abs(values[i]! - expected[i]!) / (atol + rtol * Math.abs(expected[i]!));
    if (!(ratio <= worst)) {
      worst = ratio;
      at = i;
    }
  }
  check.ok(
    label,
    worst <= 1,
    `worst element ${at}: ${values[at]} for ${expected[at]}, ${worst.toFixed(3)} x tolerance`,
  );
}

/** Masks at the original size through `samMaskToImage`. */
async function comparePost(dir: string, predictions: Map<string, tf.Tensor>, check: ParityCheck): Promise<void> {
  const folder = join(dir, "post");
  if (!existsSync(folder)) return check.skip("post", "no folder post/");
  const meta = JSON.parse(readFileSync(join(dir, "meta.json"), "utf8")) as {
    original_sizes: [number, number][];
    reshaped_input_sizes: [number, number][];
    image_size: number;
  };
  for (const file of readdirSync(folder).sort()) {
    const name = file.replace(/\.safetensors$/, "");
    const golden = readSafetensors(join(folder, file));
    const masks = predictions.get(name);
    if (!masks) {
      check.skip(`post/${name}`, "no such case");
      continue;
    }
    const values = (await masks.data()) as Float32Array;
    const [, count = 0, alternatives = 0, side = 0] = masks.shape;
    for (const [image, [height, width]] of meta.original_sizes.entries()) {
      const [contentHeight, contentWidth] = meta.reshaped_input_sizes[image]!;
      const geometry: Geometry = {
        model: "sam",
        origW: width,
        origH: height,
        rawW: width,
        rawH: height,
        orientation: 1,
        orientationApplied: false,
        contentW: contentWidth,
        contentH: contentHeight,
        scaleX: contentWidth / width,
        scaleY: contentHeight / height,
        padL: 0,
        padT: 0,
        padR: meta.image_size - contentWidth,
        padB: meta.image_size - contentHeight,
        netW: meta.image_size,
        netH: meta.image_size,
        normalizedBy: "none",
        configHash: "fixture",
      };
      const binary = golden.has(`binary.${image}`) ? (golden.tensor(`binary.${image}`).data as Float32Array) : null;
      const logits = golden.has(`logits.${image}`) ? (golden.tensor(`logits.${image}`).data as Float32Array) : null;
      let wrong = 0;
      let worst = 0;
      for (let k = 0; k < count * alternatives; k++) {
        const start = (image * count * alternatives + k) * side * side;
        const full = samMaskToImage(values.slice(start, start + side * side), side, geometry);
        const offset = k * height * width;
        for (let i = 0; i < full.length; i++) {
          if (binary && Math.abs(full[i]!) > CLEAR_LOGIT && full[i]! > 0 !== (binary[offset + i] === 1)) wrong++;
          if (logits && offset + i < logits.length) {
            const expected = logits[offset + i]!;
            const ratio = Math.abs(full[i]! - expected) / (MASKS.atol + MASKS.rtol * Math.abs(expected));
            if (!(ratio <= worst)) worst = ratio;
          }
        }
      }
      if (logits) check.ok(`post/${name}/logits.${image}`, worst <= 1, `${worst.toFixed(3)} x tolerance`);
      if (binary) check.ok(`post/${name}/binary.${image}`, wrong === 0, `${wrong} clear pixels differ`);
    }
  }
}
