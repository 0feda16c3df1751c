import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readSafetensors, type StateDict } from "@seg/nn";
import "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { generalizedIou } from "./box-overlap.js";
import { type Detections, type DetectionTargets, matchCosts } from "./match-costs.js";
import { matchMatrix, matchQueries } from "./match-queries.js";
import { focalTerms, setLoss, weightedLoss } from "./set-loss.js";
import { type DetectionTarget, targetArrays, toCxcywh } from "./targets.js";

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
});

function tensorsOf(targets: readonly DetectionTarget[], phraseTokens: number[][][], textMask: number[][], rows = 4) {
  const columns = textMask[0]!.length;
  const arrays = targetArrays({ targets, phraseTokens, rows, columns });
  const count = targets.length;
  const tensors: DetectionTargets = {
    boxes: tf.tensor3d(arrays.boxes, [count, rows, 4]),
    valid: tf.tensor2d(arrays.valid, [count, rows]),
    tokens: tf.tensor3d(arrays.tokens, [count, rows, columns]),
    textMask: tf.tensor2d(textMask),
  };
  return { tensors, normalizer: tf.scalar(arrays.normalizer), counts: targets.map(({ boxes }) => boxes.length), rows };
}

function lossOf(detections: Detections, made: ReturnType<typeof tensorsOf>) {
  const { tensors, normalizer, counts, rows } = made;
  const queries = detections.logits.shape[1];
  const costs = matchCosts(detections, tensors);
  const matches = matchQueries(costs.dataSync() as Float32Array, { rows, queries, counts });
  const matrix = tf.tensor3d(matchMatrix(matches, queries), [counts.length, rows, queries]);
  return { matches, loss: setLoss(detections, tensors, { matches: matrix, normalizer }) };
}

describe("toCxcywh", () => {
  test("is relative to the unpadded picture and refuses boxes without area", () => {
    expect(toCxcywh([10, 20, 30, 60], { width: 100, height: 200 })).toEqual([0.2, 0.2, 0.2, 0.2]);
    expect(() => toCxcywh([30, 20, 10, 60], { width: 100, height: 200 })).toThrow(/no area or is inverted/);
  });
});

describe("generalizedIou", () => {
  test("equal boxes 1, nested the share of the hull, apart below 0", () => {
    const a = tf.tensor2d([
      [0.5, 0.5, 0.4, 0.4],
      [0.5, 0.5, 0.2, 0.2],
      [0.1, 0.1, 0.2, 0.2],
    ]);
    const b = tf.tensor2d([
      [0.5, 0.5, 0.4, 0.4],
      [0.5, 0.5, 0.4, 0.4],
      [0.9, 0.9, 0.2, 0.2],
    ]);
    // Apart: hull 1, union .08.
    const [same, nested, apart] = generalizedIou(a, b).dataSync();
    expect(same).toBeCloseTo(1, 6);
    expect(nested).toBeCloseTo(0.25, 6);
    expect(apart).toBeCloseTo(-0.92, 6);
  });
});

describe("setLoss", () => {
  test("an image without objects only pushes scores down, and padding counts for nothing", () => {
    const made = tensorsOf([{ phrases: [], boxes: [] }], [[[1]]], [[1, 1, 1, 0]]);
    const logits = tf.tensor3d([[[0, 0, 0, Number.NEGATIVE_INFINITY]]]);
    const { loss } = lossOf({ logits, boxes: tf.tensor3d([[[0.5, 0.5, 0.1, 0.1]]]) }, made);
    // Three tokens at p = .5: .75 * .25 * ln 2 each.
    expect(loss.ce.dataSync()[0]).toBeCloseTo(3 * 0.75 * 0.25 * Math.LN2, 6);
    expect(loss.bbox.dataSync()[0]).toBe(0);
    expect(loss.giou.dataSync()[0]).toBe(0);
    expect(weightedLoss(loss).dataSync()[0]).toBeCloseTo(6 * 0.75 * 0.25 * Math.LN2, 6);
  });

  test("does not depend on the order of the objects", () => {
    const boxes = [
      [0.3, 0.3, 0.2, 0.2],
      [0.7, 0.6, 0.3, 0.1],
    ] as const;
    const logits = tf.randomNormal([1, 5, 4], 0, 1, "float32", 1) as tf.Tensor3D;
    const predicted = tf.randomUniform([1, 5, 4], 0.1, 0.5, "float32", 2) as tf.Tensor3D;
    const values = [
      [0, 1],
      [1, 0],
    ].map((order) => {
      const target = { phrases: order, boxes: order.map((i) => boxes[i]!) };
      const { loss } = lossOf({ logits, boxes: predicted }, tensorsOf([target], [[[1], [2]]], [[1, 1, 1, 1]]));
      return weightedLoss(loss).dataSync()[0]!;
    });
    expect(values[1]).toBeCloseTo(values[0]!, 5);
  });

  test("gradients reach all logits and the matched boxes only, and are finite beside -Infinity", () => {
    const made = tensorsOf([{ phrases: [0], boxes: [[0.5, 0.5, 0.2, 0.2]] }], [[[1]]], [[1, 1, 1, 0]]);
    const logits = tf.tensor3d(
      [0, 1].flatMap(() => [0.1, 0.2, -0.3, Number.NEGATIVE_INFINITY]),
      [1, 2, 4],
    );
    const boxes = tf.tensor3d([0.5, 0.5, 0.3, 0.3, 0.1, 0.1, 0.05, 0.05], [1, 2, 4]);
    const { matches } = lossOf({ logits, boxes }, made);
    expect(matches[0]).toBe(0);
    const matrix = tf.tensor3d(matchMatrix(matches, 2), [1, 4, 2]);
    const [dLogits, dBoxes] = tf.grads((l: tf.Tensor, b: tf.Tensor) => {
      const detections = { logits: l as tf.Tensor3D, boxes: b as tf.Tensor3D };
      return weightedLoss(setLoss(detections, made.tensors, { matches: matrix, normalizer: made.normalizer }));
    })([logits, boxes]);
    const l = [...dLogits!.dataSync()];
    expect(l.map((v) => v !== 0)).toEqual([true, true, true, false, true, true, true, false]);
    expect(l.every(Number.isFinite)).toBe(true);
    const b = [...dBoxes!.dataSync()];
    expect(b.slice(4)).toEqual([0, 0, 0, 0]);
    expect(b.slice(2, 4).every((v) => v > 0)).toBe(true);
  });
});

const shared = process.env["SEG_SHARED"] ?? join(import.meta.dirname, "../../../../../../shared");
const losses = join(shared, "fixtures/losses-optim/losses");
describe.skipIf(!existsSync(losses))("torchvision 0.28 (fixtures losses-optim)", () => {
  const tensor = (dict: StateDict, key: string) => {
    const { data, shape } = dict.get(key)!;
    return tf.tensor(data as Float32Array, [...shape]);
  };
  const expectClose = (actual: ArrayLike<number>, expected: ArrayLike<number>, rtol: number, atol: number) => {
    for (let i = 0; i < expected.length; i++) {
      expect([i, Math.abs(actual[i]! - expected[i]!) <= atol + rtol * Math.abs(expected[i]!)]).toEqual([i, true]);
    }
  };

  test("sigmoid_focal_loss and its gradient", () => {
    const dict = readSafetensors(join(losses, "sigmoid_focal_a0.25_g2.0_none.safetensors")).toStateDict();
    const targets = tensor(dict, "in.targets");
    const { value, grad } = tf.valueAndGrad((x: tf.Tensor) =>
      tf.sum(tf.mul(focalTerms(x, targets), tensor(dict, "grad_out"))),
    )(tensor(dict, "in.inputs"));
    expectClose(
      focalTerms(tensor(dict, "in.inputs"), targets).dataSync(),
      dict.get("out.0")!.data as Float32Array,
      1e-5,
      1e-6,
    );
    expectClose(grad.dataSync(), dict.get("grad.inputs")!.data as Float32Array, 1e-4, 1e-6);
    value.dispose();
  });

  test("generalized_box_iou", () => {
    const dict = readSafetensors(join(losses, "pairwise_giou.safetensors")).toStateDict();
    const cxcywh = (key: string) => {
      const [x1, y1, x2, y2] = tf.split(tensor(dict, key), 4, -1) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      return tf.concat([tf.div(tf.add(x1, x2), 2), tf.div(tf.add(y1, y2), 2), tf.sub(x2, x1), tf.sub(y2, y1)], -1);
    };
    const a = tf.expandDims(cxcywh("in.boxes1"), 1);
    const b = tf.expandDims(cxcywh("in.boxes2"), 0);
    expectClose(generalizedIou(a, b).dataSync(), dict.get("out.0")!.data as Float32Array, 1e-4, 1e-5);
  });
});

const fixture = join(shared, "fixtures/grounding-dino");
describe.skipIf(!existsSync(fixture))("transformers 4.57.6 on recorded predictions (fixtures grounding-dino)", () => {
  interface Recorded {
    readonly loss: number;
    readonly loss_dict: Readonly<Record<string, number>>;
    readonly hungarian: Readonly<Record<string, readonly { readonly query: number[]; readonly target: number[] }[]>>;
  }
  const golden = existsSync(fixture)
    ? (JSON.parse(readFileSync(join(fixture, "loss.json"), "utf8")) as {
        with_auxiliary: Recorded;
        labels: { class_labels: number[]; boxes: [number, number, number, number][] }[];
      })
    : null;

  test("matches and every loss term of all heads", () => {
    const out = readSafetensors(join(fixture, "outputs.safetensors")).toStateDict();
    const weights = readSafetensors(join(fixture, "model/model.safetensors")).toStateDict();
    const of = (dict: StateDict, key: string) =>
      tf.tensor(dict.get(key)!.data as Float32Array, [...dict.get(key)!.shape]);
    // Captions "a. b c." and "a b c. d e f g."; see label_maps of text.json.
    const phraseTokens = [
      [[1], [3, 4]],
      [
        [1, 2, 3],
        [5, 6, 7, 8],
      ],
    ];
    const textMask = [7, 11].map((length) => Array.from({ length: 24 }, (_, i) => (i < length ? 1 : 0)));
    const targets = golden!.labels.map(({ class_labels: phrases, boxes }) => ({ phrases, boxes }));
    const made = tensorsOf(targets, phraseTokens, textMask);
    const hidden = tf.unstack(of(out, "decoder.hidden_states"), 1) as tf.Tensor3D[];
    const references = [
      of(out, "proposals.init_reference_points"),
      ...tf.unstack(of(out, "decoder.reference_points"), 1),
    ];
    const text = of(out, "encoder.last_text") as tf.Tensor3D;
    const linear = (x: tf.Tensor, i: number) => {
      const name = `bbox_embed.0.layers.${i}`;
      const weight = of(weights, `${name}.weight`) as tf.Tensor2D;
      const rows = tf.reshape(x, [-1, x.shape.at(-1)!]) as tf.Tensor2D;
      return tf.add(tf.matMul(rows, weight, false, true), of(weights, `${name}.bias`));
    };
    const heads: [string, Detections][] = hidden.map((h, layer) => {
      const previous = references[layer]!;
      // HF's logit clips at 1e-5.
      const x = tf.clipByValue(previous, 1e-5, 1 - 1e-5);
      const delta = tf.reshape(linear(tf.relu(linear(tf.relu(linear(h, 0)), 1)), 2), previous.shape);
      const boxes = tf.sigmoid(tf.add(delta, tf.log(tf.div(x, tf.sub(1, x))))) as tf.Tensor3D;
      const logits = tf.pad(tf.matMul(h, text, false, true), [
        [0, 0],
        [0, 0],
        [0, 24 - 11],
      ]) as tf.Tensor3D;
      return [layer === 2 ? "final" : `aux_${layer}`, { logits, boxes }];
    });
    heads.push([
      "enc",
      {
        logits: of(out, "proposals.encoder_logits") as tf.Tensor3D,
        boxes: of(out, "proposals.encoder_pred_boxes") as tf.Tensor3D,
      },
    ]);
    let total = 0;
    for (const [name, detections] of heads) {
      const { matches, loss } = lossOf(detections, made);
      const pairs = [0, 1].map((b) => {
        const queries = [...matches.subarray(4 * b, 4 * b + made.counts[b]!)];
        const byQuery = queries.map((query, target) => ({ query, target })).sort((x, y) => x.query - y.query);
        return { query: byQuery.map(({ query }) => query), target: byQuery.map(({ target }) => target) };
      });
      expect([name, pairs]).toEqual([name, golden!.with_auxiliary.hungarian[name]]);
      const suffix = name === "final" ? "" : `_${name.replace("aux_", "")}`;
      for (const key of ["ce", "bbox", "giou"] as const) {
        const expected = golden!.with_auxiliary.loss_dict[`loss_${key}${suffix}`]!;
        expect(Math.abs(loss[key].dataSync()[0]! / expected - 1)).toBeLessThan(1e-5);
      }
      total += weightedLoss(loss).dataSync()[0]!;
    }
    expect(Math.abs(total / golden!.with_auxiliary.loss - 1)).toBeLessThan(1e-5);
  });
});
