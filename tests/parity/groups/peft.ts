import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  loadAdapter,
  mergeAdapter,
  mergeAndUnload,
  setAdaptersEnabled,
  UnsupportedAdapterError,
  unmergeAdapter,
} from "@seg/lora";
import { readSafetensors, type SafetensorsFile, type StateDict, stateDict } from "@seg/nn";
import { Sam, type SamPrediction } from "@seg/teachers";
import * as tf from "@tensorflow/tfjs";
import { type Check, compareArrays } from "../check.js";

/**
 * Loads every adapter that PEFT wrote for the tiny SAM and compares outputs in five modes (active, disabled, merged, unmerged, merged and
 * unloaded) and the merged weights. `dir` is laid out as fixtures/peft/README.md describes; the base model lies beside it.
 */
export async function run(dir: string, check: Check): Promise<void> {
  for (const name of readdirSync(dir).sort()) {
    const adapter = join(dir, name, "adapter");
    if (name.startsWith("train-")) check.skip(name, "training traces belong to the training loops of the teachers");
    else if (!existsSync(adapter)) continue;
    else if (name.startsWith("gdino-")) check.skip(name, "no Grounding DINO here yet");
    else await compareSamAdapter(join(dir, name), name, join(dir, ".."), check);
  }
}

async function compareSamAdapter(dir: string, name: string, root: string, check: Check): Promise<void> {
  const config = JSON.parse(readFileSync(join(dir, "adapter/adapter_config.json"), "utf8")) as Record<string, unknown>;
  const base = join(root, String(config["base_model_name_or_path"]));
  if (!existsSync(base)) {
    check.skip(name, `base model ${base} is not there`);
    return;
  }
  const sam = Sam.fromPretrained(base);
  try {
    const before = stateDict(sam);
    let isVisionAdapted: boolean;
    try {
      const { layers } = loadAdapter(sam, join(dir, "adapter"));
      isVisionAdapted = [...layers.keys()].some((path) => path.startsWith("vision_encoder."));
    } catch (error) {
      if (!(error instanceof UnsupportedAdapterError)) throw error;
      check.skip(name, error.message);
      return;
    }
    await compareModes(dir, name, sam, readSafetensors(join(base, "../inputs.safetensors")), isVisionAdapted, check);
    compareWeights(name, before, stateDict(sam), readSafetensors(join(dir, "merged_weights.safetensors")), check);
  } finally {
    sam.dispose();
  }
}

/** Leaves the model merged and unloaded. */
async function compareModes(
  dir: string,
  name: string,
  sam: Sam,
  inputs: SafetensorsFile,
  isVisionAdapted: boolean,
  check: Check,
): Promise<void> {
  const golden = readSafetensors(join(dir, "outputs.safetensors"));
  const encode = () => tf.tidy(() => sam.encodeImage(nhwc(inputs, "pixel_values")));
  // The encoder is most of the work; where only the decoder is adapted one pass serves all modes.
  const shared = isVisionAdapted ? null : encode();
  const modes: [mode: string, enter: () => void][] = [
    ["active", () => {}],
    ["disabled", () => setAdaptersEnabled(sam, false)],
    [
      "merged",
      () => {
        setAdaptersEnabled(sam, true);
        mergeAdapter(sam);
      },
    ],
    ["unmerged", () => unmergeAdapter(sam)],
    ["merge_and_unload", () => mergeAndUnload(sam)],
  ];
  for (const [mode, enter] of modes) {
    enter();
    if (!golden.has(`${mode}.iou`)) {
      check.skip(`${name}/${mode}`, "not recorded");
      continue;
    }
    const prompts = golden.info(`${mode}.iou`).shape[1]!;
    const image = shared ?? encode();
    const { lowResMasks, iou }: SamPrediction = tf.tidy(() =>
      sam.predictMasks({
        imageEmbeddings: image,
        boxes: tf.slice(tensor(inputs, "input_boxes"), [0, 0, 0], [-1, prompts, -1]) as tf.Tensor3D,
        masks: nhwc(inputs, "input_masks"),
      }),
    );
    await compare(
      check,
      `${name}/${mode}.low_res_masks`,
      lowResMasks,
      golden.tensor(`${mode}.low_res_masks`).data as Float32Array,
    );
    await compare(check, `${name}/${mode}.iou`, iou, golden.tensor(`${mode}.iou`).data as Float32Array);
    tf.dispose([lowResMasks, iou]);
    if (image !== shared) image.dispose();
  }
  shared?.dispose();
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

/** Tolerance of model outputs: atol 1e-4 + rtol 1e-4 x scale. */
async function compare(check: Check, name: string, actual: tf.Tensor, expected: Float32Array): Promise<void> {
  const scale = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  compareArrays(check, name, (await actual.data()) as Float32Array, expected, 1e-4 + 1e-4 * scale);
}

function tensor(file: SafetensorsFile, name: string): tf.Tensor {
  return tf.tensor(file.tensor(name).data as Float32Array, [...file.info(name).shape], "float32");
}

function nhwc(file: SafetensorsFile, name: string): tf.Tensor4D {
  return tf.transpose(tensor(file, name) as tf.Tensor4D, [0, 2, 3, 1]);
}
