import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type LoraHandle,
  loadAdapter,
  mergeAdapter,
  mergeAndUnload,
  setAdaptersEnabled,
  UnsupportedAdapterError,
  unmergeAdapter,
} from "@seg/lora";
import { type Module, type Parameter, readSafetensors, type SafetensorsFile, type StateDict, stateDict } from "@seg/nn";
import {
  DetectionStep,
  type GroundingDino,
  headsOf,
  loadGroundingDino,
  PAPER_LOSS,
  paddedLogits,
  Sam,
  SamTrainStep,
  type TextBatch,
  textBatch,
  textOf,
  textTensors,
} from "@seg/teachers";
import { adamw, clipCoefficient, gradStats } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { type Check, compareArrays } from "../check.js";

/**
 * Loads every adapter that PEFT wrote for the tiny models and compares outputs in five modes (active, disabled, merged, unmerged, merged and
 * unloaded), the merged weights, and the training traces. `dir` is laid out as fixtures/peft/README.md describes; base models lie beside it.
 */
export async function run(dir: string, check: Check): Promise<void> {
  const root = join(dir, "..");
  for (const name of readdirSync(dir).sort()) {
    const folder = join(dir, name);
    const adapter = [join(folder, "adapter"), join(folder, "adapter-initial")].find((path) => existsSync(path));
    if (adapter === undefined) continue;
    const config = readJson(join(adapter, "adapter_config.json"));
    const base = join(root, String(config["base_model_name_or_path"]));
    if (!existsSync(base)) {
      check.skip(name, `base model ${base} is not there`);
      continue;
    }
    const type = readJson(join(base, "config.json"))["model_type"];
    try {
      if (type === "sam" && existsSync(join(folder, "trace.json")))
        await compareSamTraining({ folder, name, base, check });
      else if (type === "sam") await compareAdapter(new SamCase(base, dir), { folder, name, check });
      else if (type === "grounding-dino" && existsSync(join(folder, "trace.json")))
        await compareDetectorTraining({ folder, name, base, check });
      else if (type === "grounding-dino") await compareAdapter(new DetectorCase(base, dir), { folder, name, check });
      else check.skip(name, `base of type ${String(type)}`);
    } catch (error) {
      if (!(error instanceof UnsupportedAdapterError)) throw error;
      check.skip(name, error.message);
    }
  }
}

/** A base model with its recorded inputs. */
interface Case {
  readonly model: Module;
  /** File of outputs without adapter. */
  readonly base: string;
  /** Outputs by name; `mode` and `golden` say how many prompts were recorded. */
  predict(golden: SafetensorsFile, prefix: string): Record<string, tf.Tensor>;
  dispose(): void;
}

class SamCase implements Case {
  readonly model: Sam;
  readonly base: string;
  readonly #inputs: SafetensorsFile;

  constructor(base: string, dir: string) {
    this.model = Sam.fromPretrained(base);
    this.base = join(dir, "base-sam.safetensors");
    this.#inputs = readSafetensors(join(base, "../inputs.safetensors"));
  }

  predict(golden: SafetensorsFile, prefix: string): Record<string, tf.Tensor> {
    const prompts = golden.info(`${prefix}iou`).shape[1]!;
    const { lowResMasks, iou } = this.model.predictMasks({
      imageEmbeddings: this.model.encodeImage(nhwc(this.#inputs, "pixel_values")),
      boxes: tf.slice(tensor(this.#inputs, "input_boxes"), [0, 0, 0], [-1, prompts, -1]) as tf.Tensor3D,
      masks: nhwc(this.#inputs, "input_masks"),
    });
    return { low_res_masks: lowResMasks, iou };
  }

  dispose(): void {
    this.model.dispose();
  }
}

/** The recorded batch of Grounding DINO. */
function detectorInputs(base: string): { pixels: tf.Tensor4D; pixelMask: tf.Tensor3D; text: TextBatch } {
  const inputs = readSafetensors(join(base, "../inputs.safetensors"));
  const [images = 0, length = 0] = inputs.info("input_ids").shape;
  const [ids, mask] = [inputs.tensor("input_ids").data, inputs.tensor("attention_mask").data];
  const captions = Array.from({ length: images }, (_, b) =>
    Array.from({ length }, (_, i) => b * length + i).flatMap((i) => (Number(mask[i]) === 1 ? [Number(ids[i])] : [])),
  );
  return {
    pixels: nhwc(inputs, "pixel_values"),
    pixelMask: tf.tensor(
      Float32Array.from(inputs.tensor("pixel_mask").data as BigInt64Array, Number),
      inputs.info("pixel_mask").shape as [number, number, number],
    ),
    text: textBatch(captions, { length }),
  };
}

class DetectorCase implements Case {
  readonly model: GroundingDino;
  readonly base: string;
  readonly #directory: string;

  constructor(base: string, dir: string) {
    this.model = loadGroundingDino(base);
    this.base = join(dir, "base-gdino.safetensors");
    this.#directory = base;
  }

  predict(): Record<string, tf.Tensor> {
    const { pixels, pixelMask, text } = detectorInputs(this.#directory);
    const tensors = textTensors(text);
    const { layers } = this.model.forward({ pixels, pixelMask, text: tensors });
    const { tokenLogits, boxes } = layers[layers.length - 1]!;
    return { logits: paddedLogits(tokenLogits, tensors.textMask, this.model.config.maxTextLength), pred_boxes: boxes };
  }

  dispose(): void {
    this.model.dispose();
  }
}

interface Place {
  readonly folder: string;
  readonly name: string;
  readonly check: Check;
}

async function compareAdapter(item: Case, { folder, name, check }: Place): Promise<void> {
  const { model } = item;
  try {
    if (existsSync(item.base)) await compareOutputs(item, item.base, "", `${name}/base`, check);
    const before = stateDict(model);
    loadAdapter(model, join(folder, "adapter"));
    // An adapter without files of its own is that of another folder in another format.
    const twin = existsSync(join(folder, "outputs.safetensors")) ? folder : folder.replace(/-bin$/, "");
    const outputs = join(twin, "outputs.safetensors");
    if (!existsSync(outputs)) return check.skip(name, "no recorded outputs");
    const modes: [mode: string, enter: () => void][] = [
      ["active", () => {}],
      ["disabled", () => setAdaptersEnabled(model, false)],
      [
        "merged",
        () => {
          setAdaptersEnabled(model, true);
          mergeAdapter(model);
        },
      ],
      ["unmerged", () => unmergeAdapter(model)],
      ["merge_and_unload", () => mergeAndUnload(model)],
    ];
    const golden = readSafetensors(outputs);
    for (const [mode, enter] of modes) {
      enter();
      if (golden.names().some((key) => key.startsWith(`${mode}.`))) {
        await compareOutputs(item, outputs, `${mode}.`, `${name}/${mode}`, check);
      } else check.skip(`${name}/${mode}`, "not recorded");
    }
    compareWeights(name, before, stateDict(model), readSafetensors(join(twin, "merged_weights.safetensors")), check);
  } finally {
    item.dispose();
  }
}

async function compareOutputs(item: Case, file: string, prefix: string, name: string, check: Check): Promise<void> {
  const golden = readSafetensors(file);
  const outputs = tf.tidy(() => item.predict(golden, prefix));
  for (const [key, actual] of Object.entries(outputs)) {
    await compare(check, `${name}.${key}`, actual, golden.tensor(prefix + key).data as Float32Array);
  }
  tf.dispose(outputs);
}

/** Exactly the recorded weights changed, to the recorded values (atol 1e-6 + rtol 1e-5 of fixtures/peft/README.md). */
function compareWeights(
  name: string,
  before: StateDict,
  after: StateDict,
  golden: SafetensorsFile,
  check: Check,
): void {
  const changed = [...after].filter(([key, { data }]) => data.some((value, i) => value !== before.get(key)?.data[i]));
  const names = changed.map(([key]) => key).sort();
  const expected = golden.names().sort();
  check.ok(
    `${name}/changed weights`,
    names.join() === expected.join() && [...before.keys()].join() === [...after.keys()].join(),
    `${names.length} changed, expected ${expected.length}`,
  );
  for (const key of expected) {
    const values = golden.tensor(key).data as Float32Array;
    const actual = after.get(key)?.data ?? [];
    const isClose =
      actual.length === values.length &&
      values.every((value, i) => Math.abs(Number(actual[i]) - value) <= 1e-6 + 1e-5 * Math.abs(value));
    check.ok(`${name}/merged ${key}`, isClose, "beyond atol 1e-6 + rtol 1e-5");
  }
}

interface Training extends Place {
  readonly base: string;
}

interface Trace {
  readonly steps: readonly {
    readonly loss: number;
    readonly grad_norm: number;
    readonly loss_dict?: Record<string, number>;
  }[];
  readonly loss_after?: number;
}

/** Loss of a step, and its gradients by parameter name. */
interface Step {
  readonly total: number;
  readonly grads: ReadonlyMap<string, Float32Array>;
}

/** Repeats a recorded run: AdamW, lr 1e-3, weight decay 0.01, clipping at norm 0.1 (fixtures/peft/README.md). */
async function compareTraining(
  { folder, name, check }: Place,
  handle: LoraHandle,
  lossTolerance: number,
  step: (parameters: ReadonlyMap<string, Parameter>, index: number) => Promise<Step>,
): Promise<void> {
  const trace = readJson(join(folder, "trace.json")) as unknown as Trace;
  const parameters = handle.trainableParameters();
  const gradsFile = join(folder, "grads.safetensors");
  const golden = existsSync(gradsFile) ? readSafetensors(gradsFile) : null;
  const values = () => new Map([...parameters].map(([path, p]) => [path, { data: Float32Array.from(p.data()) }]));
  const optimizer = adamw({ weightDecay: 0.01 });
  const state = optimizer.init(values());
  const groups = [{ name: "lora", parameters, decay: true }];
  const relative = (label: string, actual: number, expected: number, tolerance: number) =>
    check.ok(`${name}/${label}`, Math.abs(actual / expected - 1) <= tolerance, `${actual}, expected ${expected}`);
  for (const [index, expected] of trace.steps.entries()) {
    const { total, grads } = await step(parameters, index);
    relative(`step ${index} loss`, total, expected.loss, lossTolerance);
    const { norm } = gradStats(grads);
    relative(`step ${index} gradient norm`, norm, expected.grad_norm, 1e-3);
    for (const key of golden?.names().filter((key) => key.startsWith(`step${index}.`) || key.startsWith(`${index}.`)) ??
      []) {
      const path = key
        .replace(/^(?:step)?\d+\./, "")
        .replace("base_model.model.", "")
        .replace(".default", "");
      const reference = golden!.tensor(key).data as Float32Array;
      const scale = reference.reduce((most, g) => Math.max(most, Math.abs(g)), 1e-3);
      compareArrays(check, `${name}/step ${index} gradient of ${path}`, grads.get(path) ?? [], reference, 1e-4 * scale);
    }
    const next = optimizer.update({
      params: values(),
      grads,
      state,
      groups,
      lr: () => 1e-3,
      gradScale: clipCoefficient(norm, 0.1),
    });
    for (const [path, data] of next) parameters.get(path)!.assign(data);
  }
  if (trace.loss_after !== undefined) {
    relative("loss after", (await step(parameters, trace.steps.length)).total, trace.loss_after, lossTolerance);
  }
  const final = readSafetensors(join(folder, "adapter-final/adapter_model.safetensors"));
  for (const key of final.names()) {
    const ours = parameters.get(key.replace("base_model.model.", ""))?.data() ?? [];
    compareArrays(check, `${name}/final ${key}`, ours, final.tensor(key).data as Float32Array, 2e-5);
  }
}

async function compareSamTraining({ base, ...place }: Training): Promise<void> {
  const { folder } = place;
  const stored = readSafetensors(join(folder, "batch.safetensors"));
  const image = tf.tidy(() => nhwc(stored, "image_embeddings").clone());
  const batch = {
    images: image.shape[0],
    prompts: stored.info("input_boxes").shape[1]!,
    embeddings: (await image.data()) as Float32Array,
    boxes: stored.tensor("input_boxes").data as Float32Array,
    targets: stored.tensor("target_masks").data as Float32Array,
  };
  image.dispose();
  const sam = Sam.fromPretrained(base);
  const handle = loadAdapter(sam, join(folder, "adapter-initial"));
  const parameters = handle.trainableParameters();
  const multimask = stored.info("final.iou").shape[2]! > 1;
  const trainStep = new SamTrainStep({ sam, parameters, weights: PAPER_LOSS, multimask });
  try {
    await compareTraining(place, handle, 1e-5, () => trainStep.run(batch));
  } finally {
    trainStep.dispose();
    sam.dispose();
  }
}

/**
 * The encoder's term of Hugging Face's loss depends on frozen weights alone, so it is the constant that the trace itself records; the decoder's
 * terms and all gradients are compared.
 */
async function compareDetectorTraining({ base, ...place }: Training): Promise<void> {
  const { folder } = place;
  const model = loadGroundingDino(base);
  const { labels } = readJson(join(base, "../loss.json")) as unknown as {
    labels: { class_labels: number[]; boxes: [number, number, number, number][] }[];
  };
  const trace = readJson(join(folder, "trace.json")) as unknown as Trace;
  const handle = loadAdapter(model, join(folder, "adapter-initial"));
  const { pixels, pixelMask, text } = detectorInputs(base);
  const inputs = { pixels, pixelMask, ...textTensors(text) };
  const targets = labels.map(({ class_labels: phrases, boxes }) => ({ phrases, boxes }));
  const step = new DetectionStep({
    rows: Math.max(...targets.map(({ boxes }) => boxes.length)),
    forward: (given) =>
      headsOf(
        model.forward({
          pixels: given["pixels"] as tf.Tensor4D,
          pixelMask: given["pixelMask"] as tf.Tensor3D,
          text: textOf(given),
        }),
        { encoder: false },
      ),
  });
  try {
    await compareTraining(place, handle, 1e-4, async (parameters, index) => {
      const prepared = await step.prepare({
        inputs,
        targets,
        phraseTokens: text.phrases.map((list) =>
          list.map(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i)),
        ),
        textMask: text.textMask,
      });
      const names = [...parameters];
      const { value, grads } = tf.variableGrads(
        () => step.loss(prepared).total,
        names.map(([, { variable }]) => variable),
      );
      const {
        loss_ce_enc: ce = 0,
        loss_bbox_enc: bbox = 0,
        loss_giou_enc: giou = 0,
      } = trace.steps[index]?.loss_dict ?? {};
      const total = value.dataSync()[0]! + 2 * ce + 5 * bbox + 2 * giou;
      const found = new Map(
        names.map(([path, { variable, size }]) => {
          const gradient = grads[variable.name];
          return [path, gradient ? Float32Array.from(gradient.dataSync()) : new Float32Array(size)];
        }),
      );
      tf.dispose([value, grads]);
      for (const [key, prepared_] of Object.entries(prepared)) if (!(key in inputs)) prepared_.dispose();
      return { total, grads: found };
    });
  } finally {
    tf.dispose(inputs);
    step.dispose();
    model.dispose();
  }
}

/** Tolerance of model outputs: atol 1e-4 + rtol 1e-4 x scale; infinities must be at the same places. */
async function compare(check: Check, name: string, actual: tf.Tensor, expected: Float32Array): Promise<void> {
  const finite = (values: ArrayLike<number>) => Array.from(values, (value) => (Number.isFinite(value) ? value : 0));
  const data = (await actual.data()) as Float32Array;
  const scale = finite(expected).reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const isAlike =
    data.length === expected.length &&
    data.every((value, i) => Number.isFinite(value) === Number.isFinite(expected[i]!));
  check.ok(`${name} is finite where it should be`, isAlike);
  compareArrays(check, name, finite(data), finite(expected), 1e-4 + 1e-4 * scale);
}

function tensor(file: SafetensorsFile, name: string): tf.Tensor {
  return tf.tensor(file.tensor(name).data as Float32Array, [...file.info(name).shape], "float32");
}

function nhwc(file: SafetensorsFile, name: string): tf.Tensor4D {
  return tf.tidy(() => tf.transpose(tensor(file, name) as tf.Tensor4D, [0, 2, 3, 1]));
}

function readJson(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
}
