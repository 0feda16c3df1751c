import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Parameter, readSafetensors, type SafetensorsFile } from "@seg/nn";
import { buildCaption } from "@seg/preprocess";
import {
  DetectionStep,
  type GroundingDino,
  type GroundingDinoOutput,
  groundedResults,
  headsOf,
  loadBertTokenizer,
  loadGroundingDino,
  paddedLogits,
  phraseColumns,
  sampleLevels,
  type TextTensors,
  textBatch,
  textBlocks,
  textOf,
  textTensors,
} from "@seg/teachers";
import * as tf from "@tensorflow/tfjs";

/** Receives the outcome of every comparison. */
export interface ParityCheck {
  ok(name: string, pass: boolean, detail?: string): void;
  skip(name: string, reason: string): void;
}

interface Tolerance {
  readonly atol: number;
  readonly rtol: number;
  /** Relative to the largest finite value of the tensor. */
  readonly scaled?: number;
}

// teachers-lora.md 5: every stage within 1e-5 of its largest value; README "How to compare": logits 1e-4 of their scale, boxes 2e-5,
// gradients 1e-3 relative and 1e-5 absolute.
const STAGE: Tolerance = { atol: 1e-5, rtol: 0, scaled: 1e-5 };
const BOXES: Tolerance = { atol: 2e-5, rtol: 0 };
const EXACT: Tolerance = { atol: 0, rtol: 0 };
const GRADIENTS: Tolerance = { atol: 1e-5, rtol: 1e-3 };
// Through the whole network, relative to the tensor's largest gradient. A bias before the norm of one-channel groups has a gradient of 0 in theory:
// what is recorded there, up to 5e-5, is rounding.
const PARAMETER_GRADIENTS: Tolerance = { atol: 5e-5, rtol: 0, scaled: 1e-3 };

/**
 * Compares every recorded stage of a Grounding DINO model with ours; `dir` is laid out as fixtures/grounding-dino/README.md describes.
 * @param training - losses and gradients too: minutes on tfjs's cpu backend. @defaultValue true
 */
export async function run(
  dir: string,
  check: ParityCheck,
  { training = true }: { training?: boolean } = {},
): Promise<void> {
  compareText(dir, check);
  comparePost(dir, check);
  await compareSampling(join(dir, "msda.safetensors"), check);
  const model = loadGroundingDino(join(dir, "model"));
  try {
    await compareForward(model, dir, check);
    await compareSingle(model, dir, check);
    if (training) await compareTraining(model, dir, check);
  } finally {
    model.dispose();
  }
}

/** Integers become float32: ids and indices stay exact below 2^24. */
function load(file: SafetensorsFile, name: string): tf.Tensor {
  const { shape, data } = file.tensor(name);
  return tf.tensor(data instanceof BigInt64Array ? Float32Array.from(data, Number) : data, [...shape], "float32");
}

function pixelsOf(file: SafetensorsFile, name: string): tf.Tensor4D {
  return tf.tidy(() => tf.transpose(load(file, name), [0, 2, 3, 1]) as tf.Tensor4D);
}

/** Captions without their padding, as the masks say. */
function captions(file: SafetensorsFile, ids: string, mask: string | null): number[][] {
  const { shape, data } = file.tensor(ids);
  const real = mask === null ? null : file.tensor(mask).data;
  const [batch = 0, length = 0] = shape;
  return Array.from({ length: batch }, (_, b) =>
    Array.from({ length }, (_, i) => b * length + i)
      .filter((i) => real === null || Number(real[i]) === 1)
      .map((i) => Number(data[i])),
  );
}

/** What the recorded files call each tensor of a forward pass. */
function named(output: GroundingDinoOutput, model: GroundingDino, text: TextTensors): Map<string, tf.Tensor> {
  const { layers, proposals, encoded } = output;
  const { maxTextLength } = model.config;
  const last = layers[layers.length - 1]!;
  const stack = (of: (layer: (typeof layers)[number]) => tf.Tensor) => tf.stack(layers.map(of), 1);
  const queries = model.model.query_position_embeddings.weight.value();
  const batch = encoded.text.shape[0];
  const tiled = tf.tile(tf.expandDims(queries, 0), [batch, 1, 1]);
  const pad = (x: tf.Tensor) => paddedLogits(x as tf.Tensor3D, text.textMask, maxTextLength);
  return new Map<string, tf.Tensor>([
    ["logits", pad(last.tokenLogits)],
    ["pred_boxes", last.boxes],
    ["decoder.hidden_states", stack(({ hidden }) => hidden)],
    ["decoder.reference_points", stack(({ refined }) => refined)],
    ["encoder.last_text", encoded.text],
    ["encoder.last_vision", encoded.vision],
    ["proposals.class_logits", pad(proposals.tokenLogits)],
    ["proposals.coord_logits", proposals.coordLogits],
    ["proposals.topk_indices", proposals.topkIndices],
    ["proposals.topk_scores", proposals.topkScores],
    ["proposals.init_reference_points", proposals.boxes],
    ["proposals.encoder_pred_boxes", proposals.boxes],
    // The library scores the query embeddings against the text before the encoder.
    ["proposals.encoder_logits", pad(tf.matMul(tiled, encoded.projectedText, false, true))],
    ["text.position_ids", text.positionIds],
    ["text.self_attention_mask", text.blockMask],
  ]);
}

/** Recorded distance of the float32 run from a float64 run, per tensor: what rounding alone does to this network. */
type Rounding = ReadonlyMap<string, number>;

function readRounding(dir: string): Rounding {
  const path = join(dir, "meta.json");
  if (!existsSync(path)) return new Map();
  const meta = JSON.parse(readFileSync(path, "utf8")) as {
    float32_vs_float64_max_abs_and_scale?: Record<string, [number, number]>;
  };
  const entries = Object.entries(meta.float32_vs_float64_max_abs_and_scale ?? {});
  return new Map(entries.map(([name, [distance]]) => [name, distance]));
}

/** Another order of the same sums may be this many times as far away as the recorded one. */
const ROUNDING_FACTOR = 8;

interface RecordedLoss {
  readonly loss: number;
  readonly loss_dict: Readonly<Record<string, number>>;
}

function toleranceOf(name: string, rounding: Rounding): Tolerance {
  if (/topk_indices|position_ids|self_attention_mask|backbone_masks/.test(name)) return EXACT;
  const tolerance = /boxes|reference_points/.test(name) ? BOXES : STAGE;
  return { ...tolerance, atol: Math.max(tolerance.atol, ROUNDING_FACTOR * (rounding.get(name) ?? 0)) };
}

async function compareForward(model: GroundingDino, dir: string, check: ParityCheck): Promise<void> {
  const inputs = readSafetensors(join(dir, "inputs.safetensors"));
  const golden = readSafetensors(join(dir, "outputs.safetensors"));
  const pixels = pixelsOf(inputs, "pixel_values");
  const pixelMask = load(inputs, "pixel_mask") as tf.Tensor3D;
  const host = textBatch(captions(inputs, "input_ids", "attention_mask"), {
    length: inputs.info("input_ids").shape[1]!,
  });
  const text = textTensors(host);
  const types = inputs.has("token_type_ids") ? tf.cast(load(inputs, "token_type_ids"), "int32") : null;
  const traced = new Map<string, tf.Tensor>();
  const trace = (name: string, tensor: tf.Tensor) => traced.set(name, tf.keep(tensor.clone()));
  const input = { pixels, pixelMask, text, ...(types && { tokenTypeIds: types as tf.Tensor2D }) };
  const outputs = tf.tidy(() => {
    const result = named(model.forward(input, { trace }), model, text);
    return [...result].map(([name, tensor]) => [name, tf.keep(tensor.clone())] as const);
  });
  const actual = new Map([...traced, ...outputs]);
  const rounding = readRounding(dir);
  for (const name of golden.names()) {
    await compare(check, name, golden.tensor(name), actual.get(name), toleranceOf(name, rounding));
  }
  tf.dispose([...actual.values(), pixels, pixelMask, ...Object.values(text), ...(types ? [types] : [])]);
}

/** One image without padding, and token types that are not 0. */
async function compareSingle(model: GroundingDino, dir: string, check: ParityCheck): Promise<void> {
  const path = join(dir, "single.safetensors");
  if (!existsSync(path)) return check.skip("single", "no single.safetensors");
  const golden = readSafetensors(path);
  const pixels = pixelsOf(golden, "in.pixel_values");
  const text = textTensors(textBatch(captions(golden, "in.input_ids", null)));
  const types = tf.cast(load(golden, "in.token_type_ids"), "int32") as tf.Tensor2D;
  const actual = new Map(
    tf.tidy(() =>
      [...named(model.forward({ pixels, text, tokenTypeIds: types }), model, text)].map(
        ([name, tensor]) => [name, tf.keep(tensor.clone())] as const,
      ),
    ),
  );
  const rounding = readRounding(dir);
  for (const name of golden.names()) {
    if (name.startsWith("in.")) continue;
    await compare(check, `single/${name}`, golden.tensor(name), actual.get(name), toleranceOf(name, rounding));
  }
  tf.dispose([...actual.values(), pixels, types, ...Object.values(text)]);
}

/** `loss.json`: README "How to compare". */
const LOSS_TOLERANCE = 1e-4;

/**
 * Losses with auxiliary terms and the gradients of their total. The library's encoder loss is special: the query embeddings against the text before the
 * encoder, and boxes without a gradient. Its class offsets are right where every caption has as many phrases as the first, which is recorded so.
 */
async function compareTraining(model: GroundingDino, dir: string, check: ParityCheck): Promise<void> {
  if (!existsSync(join(dir, "loss.json"))) {
    check.skip("loss", "no loss.json");
    return;
  }
  const recorded = JSON.parse(readFileSync(join(dir, "loss.json"), "utf8")) as {
    final_only: RecordedLoss;
    with_auxiliary: RecordedLoss;
    labels: { class_labels: number[]; boxes: [number, number, number, number][] }[];
    parameters_without_gradient: string[];
  };
  const inputs = readSafetensors(join(dir, "inputs.safetensors"));
  const text = textBatch(captions(inputs, "input_ids", "attention_mask"), {
    length: inputs.info("input_ids").shape[1]!,
  });
  const batch = text.batch;
  const step = new DetectionStep({
    rows: Math.max(1, ...recorded.labels.map(({ boxes }) => boxes.length)),
    forward: (given) => {
      const output = model.forward({
        pixels: given["pixels"] as tf.Tensor4D,
        pixelMask: given["pixelMask"] as tf.Tensor3D,
        text: textOf(given),
      });
      const table = tf.expandDims(model.model.query_position_embeddings.weight.value(), 0);
      const logits = tf.matMul(tf.tile(table, [batch, 1, 1]), output.encoded.projectedText, false, true);
      const encoder = { logits: logits as tf.Tensor3D, boxes: output.layers[0]!.reference };
      return { ...headsOf(output, { encoder: false }), encoder };
    },
  });
  const given = await step.prepare({
    inputs: {
      pixels: pixelsOf(inputs, "pixel_values"),
      pixelMask: load(inputs, "pixel_mask"),
      ...textTensors(text),
    },
    targets: recorded.labels.map(({ class_labels: phrases, boxes }) => ({ phrases, boxes })),
    phraseTokens: text.phrases.map((list) =>
      list.map(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i)),
    ),
    textMask: text.textMask,
  });
  const near = (name: string, actual: number, expected: number) => {
    const error = Math.abs(actual - expected) / Math.max(Math.abs(expected), 1e-6);
    check.ok(name, error <= LOSS_TOLERANCE, `${actual} for ${expected}`);
  };
  const parts = tf.tidy(() =>
    Object.fromEntries(Object.entries(step.loss(given).parts).map(([name, x]) => [name, x.dataSync()[0]!])),
  );
  let finalOnly = 0;
  for (const [term, weight] of [
    ["ce", 2],
    ["bbox", 5],
    ["giou", 2],
  ] as const) {
    for (const suffix of ["", "_enc"]) {
      near(
        `loss/${term}${suffix}`,
        parts[`${term}${suffix}`]!,
        recorded.final_only.loss_dict[`loss_${term}${suffix}`]!,
      );
      finalOnly += weight * parts[`${term}${suffix}`]!;
    }
  }
  near("loss/final only", finalOnly, recorded.final_only.loss);

  const leaves = new Map(
    [...model.namedLeaves()].filter((entry): entry is [string, Parameter] => entry[1] instanceof Parameter),
  );
  const variables = [...new Set(leaves.values())].map(({ variable }) => variable);
  const { value, grads } = tf.variableGrads(() => step.loss(given).total, variables);
  near("loss/with auxiliary", value.dataSync()[0]!, recorded.with_auxiliary.loss);
  const gradient = (name: string): tf.Tensor | undefined => grads[leaves.get(name)?.variable.name ?? ""];
  if (existsSync(join(dir, "grads.safetensors"))) {
    const file = readSafetensors(join(dir, "grads.safetensors"));
    for (const name of file.names()) {
      if (!leaves.has(name)) check.ok(`gradient/${name}`, false, "no such parameter");
      else await compare(check, `gradient/${name}`, file.tensor(name), gradient(name), PARAMETER_GRADIENTS);
    }
  } else check.skip("gradients", "no grads.safetensors");
  for (const name of recorded.parameters_without_gradient) {
    const values = gradient(name)?.dataSync() ?? [];
    check.ok(`no gradient/${name}`, leaves.has(name) && Array.from(values).every((v) => v === 0));
  }
  step.dispose();
  tf.dispose([value, ...Object.values(grads), ...Object.values(given)]);
}

/** Deformable sampling alone, forward and backward. */
async function compareSampling(path: string, check: ParityCheck): Promise<void> {
  if (!existsSync(path)) return check.skip("msda", "no msda.safetensors");
  const file = readSafetensors(path);
  const shapes = Array.from(file.tensor("spatial_shapes").data, Number);
  const levels = Array.from({ length: shapes.length / 2 }, (_, i) => ({
    height: shapes[2 * i]!,
    width: shapes[2 * i + 1]!,
  }));
  const [batch, queries, heads, levelCount, points] = file.info("locations").shape as [
    number,
    number,
    number,
    number,
    number,
  ];
  const inputs = ["value", "locations", "weights"].map((name) => load(file, name));
  const sizes = tf.tensor(
    levels.flatMap(({ height, width }) => new Array(points).fill([width, height]).flat()),
    [levelCount * points, 2],
  );
  const sample = (value: tf.Tensor, locations: tf.Tensor, weights: tf.Tensor) => {
    const flat = tf.reshape(locations, [batch * queries, heads, levelCount * points, 2]);
    const places = tf.sub(tf.mul(flat, sizes), 0.5);
    const [x, y] = tf
      .split(places, 2, 3)
      .map((part) => tf.reshape(part, [batch, queries, heads, levelCount * points])) as [tf.Tensor4D, tf.Tensor4D];
    const [, cells = 0, , depth = 0] = value.shape;
    return sampleLevels({
      value: tf.reshape(value, [batch, cells, heads * depth]),
      levels,
      x,
      y,
      weights: tf.reshape(weights, [batch, queries, heads, levelCount * points]),
    }) as tf.Tensor;
  };
  const output = tf.tidy(() => sample(...(inputs as [tf.Tensor, tf.Tensor, tf.Tensor])));
  await compare(check, "msda/output", file.tensor("output"), output, STAGE);
  const dy = load(file, "grad_output");
  const gradients = tf.tidy(() => tf.grads((...args: tf.Tensor[]) => sample(args[0]!, args[1]!, args[2]!))(inputs, dy));
  for (const [i, name] of ["grad_value", "grad_locations", "grad_weights"].entries()) {
    await compare(check, `msda/${name}`, file.tensor(name), gradients[i], GRADIENTS);
  }
  tf.dispose([...inputs, ...gradients, output, sizes, dy]);
}

/** Ours are channels last and broadcast over the batch; some of the recorded maps are channels first. */
function align(tensor: tf.Tensor, shape: readonly number[]): tf.Tensor {
  return tf.tidy(() => {
    let x = tf.cast(tensor, "float32");
    if (x.rank === 4 && shape.length === 4 && x.shape.some((d, i) => d !== shape[i])) x = tf.transpose(x, [0, 3, 1, 2]);
    if (x.shape[0] === 1 && shape[0]! > 1) x = tf.tile(x, [shape[0]!, ...x.shape.slice(1).map(() => 1)]);
    const size = shape.reduce((a, b) => a * b, 1);
    return x.size === size ? tf.reshape(x, [...shape]) : tf.clone(x);
  });
}

async function compare(
  check: ParityCheck,
  label: string,
  { shape, data }: { readonly shape: readonly number[]; readonly data: ArrayLike<number | bigint> },
  actual: tf.Tensor | undefined,
  { atol, rtol, scaled = 0 }: Tolerance,
): Promise<void> {
  if (!actual) return check.skip(label, "not exposed by the model");
  const aligned = align(actual, shape);
  const values = await aligned.data();
  aligned.dispose();
  const expected = Array.from(data, Number);
  if (values.length !== expected.length) {
    return check.ok(label, false, `shape [${actual.shape}], expected [${shape}]`);
  }
  const scale = expected.reduce((max, v) => (Number.isFinite(v) ? Math.max(max, Math.abs(v)) : max), 0);
  let worst = 0;
  let at = 0;
  for (let i = 0; i < expected.length; i++) {
    if (values[i] === expected[i]) continue;
    const limit = atol + rtol * Math.abs(expected[i]!) + scaled * scale;
    const ratio = Math.abs(values[i]! - expected[i]!) / limit;
    if (!(ratio <= worst)) {
      worst = Number.isNaN(ratio) ? Number.POSITIVE_INFINITY : ratio;
      at = i;
    }
  }
  const detail = `worst element ${at}: ${values[at]} for ${expected[at]}, ${worst.toFixed(3)} x tolerance`;
  check.ok(label, worst <= 1, detail);
}

/** Masks, positions, label maps and token ids of recorded prompts. */
function compareText(dir: string, check: ParityCheck): void {
  const path = join(dir, "text.json");
  if (!existsSync(path)) {
    check.skip("text", "no text.json");
    return;
  }
  const text = JSON.parse(readFileSync(path, "utf8")) as {
    masks: { input_ids: number[]; self_attention_rows: string[]; position_ids: number[] }[];
    label_maps: number[][][];
    text_mask_rows: string[];
    tokenizer: { text: string; input_ids: number[] }[];
    label_lists: { labels: string[]; text: string; input_ids: number[] }[];
  };
  const same = (name: string, actual: unknown, expected: unknown) => {
    const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
    check.ok(name, a === b, `${a} for ${b}`);
  };
  for (const [i, { input_ids: ids, self_attention_rows: rows, position_ids: positions }] of text.masks.entries()) {
    const blocks = textBlocks(ids);
    const actual = ids.map((_, r) => [...blocks.mask.subarray(r * ids.length, (r + 1) * ids.length)].join(""));
    same(`text/masks.${i}/rows`, actual, rows);
    same(`text/masks.${i}/positions`, [...blocks.positions], positions);
  }
  const inputs = readSafetensors(join(dir, "inputs.safetensors"));
  const rows = captions(inputs, "input_ids", "attention_mask");
  for (const [b, expected] of text.label_maps.entries()) {
    const columns = expected[0]?.length ?? 0;
    const maps = phraseColumns(rows[b]!).map(([start, end]) =>
      Array.from({ length: columns }, (_, c) => Number(c >= start && c < end)),
    );
    same(`text/label_maps.${b}`, maps, expected);
    same(
      `text/text_mask.${b}`,
      rows[b]!.map(() => 1)
        .join("")
        .padEnd(columns, "0"),
      text.text_mask_rows[b],
    );
  }
  const tokenizer = loadBertTokenizer(dir);
  for (const { text: prompt, input_ids: ids } of text.tokenizer) {
    same(`text/tokenizer/${prompt}`, tokenizer.encode(prompt).ids, ids);
  }
  for (const { labels, text: caption, input_ids: ids } of text.label_lists) {
    same(`text/labels/${labels}`, buildCaption(labels), caption);
    same(`text/labels/${labels}/ids`, tokenizer.encode(buildCaption(labels)).ids, ids);
  }
}

/** The library's results; those within this distance of a threshold may fall on either side. */
const NEAR_THRESHOLD = 1e-4;

/** Recorded logits and boxes through `groundedResults`. */
function comparePost(dir: string, check: ParityCheck): void {
  const path = join(dir, "post.json");
  if (!existsSync(path)) {
    check.skip("post", "no post.json");
    return;
  }
  const cases = JSON.parse(readFileSync(path, "utf8")) as {
    threshold: number;
    text_threshold: number;
    target_sizes_hw: [number, number][];
    results: { scores: number[]; boxes_xyxy: number[][]; text_labels: string[] }[];
  }[];
  const outputs = readSafetensors(join(dir, "outputs.safetensors"));
  const ids = readSafetensors(join(dir, "inputs.safetensors")).tensor("input_ids");
  const [, queries = 0, columns = 0] = outputs.info("logits").shape;
  const logits = outputs.tensor("logits").data as Float32Array;
  const boxes = outputs.tensor("pred_boxes").data as Float32Array;
  const tokenizer = loadBertTokenizer(dir);
  const length = ids.shape[1]!;
  for (const { threshold, text_threshold: textThreshold, target_sizes_hw: sizes, results } of cases) {
    for (const [b, expected] of results.entries()) {
      const name = `post/${threshold},${textThreshold}/${b}`;
      const row = logits.subarray(b * queries * columns, (b + 1) * queries * columns);
      const clear = (limit: number) =>
        row.every((value) => !(Math.abs(1 / (1 + Math.exp(-value)) - limit) < NEAR_THRESHOLD));
      if (!clear(threshold) || !clear(textThreshold)) {
        check.skip(name, `a score within ${NEAR_THRESHOLD} of a threshold`);
        continue;
      }
      const [height, width] = sizes[b]!;
      const actual = groundedResults({
        logits: row,
        boxes: boxes.subarray(b * queries * 4, (b + 1) * queries * 4),
        inputIds: Array.from(ids.data.subarray(b * length, (b + 1) * length) as BigInt64Array, Number),
        columns,
        size: { width, height },
        threshold,
        textThreshold,
      });
      const distance = (a: readonly number[], e: readonly number[]) =>
        a.length === e.length ? Math.max(0, ...a.map((v, i) => Math.abs(v - e[i]!))) : Number.POSITIVE_INFINITY;
      const scores = distance(actual.scores, expected.scores);
      check.ok(`${name}/scores`, scores <= 1e-6, `differ by ${scores}`);
      // Pixels of images of some hundred: float32 of the relative boxes allows 1e-4.
      const corners = distance(actual.boxes.flat(), expected.boxes_xyxy.flat());
      check.ok(`${name}/boxes`, corners <= 2e-4, `differ by ${corners}`);
      const labels = actual.tokenIds.map((tokens) => (tokens.length === 0 ? "" : tokenizer.decode(tokens)));
      const [a, e] = [JSON.stringify(labels), JSON.stringify(expected.text_labels)];
      check.ok(`${name}/text`, a === e, `${a} for ${e}`);
    }
  }
}
