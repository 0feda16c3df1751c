import { type Box, mask as maskAlgebra } from "@seg/coco-dataset";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { pretrainedSamDirectory } from "../load-teachers.js";
import { predictInstanceMasks } from "../sam/predict.js";
import { Sam } from "../sam/sam.js";
import { BAG_CLASSES, bagScene } from "../synthetic/bag-world.js";
import type { SamSource, TextDetector } from "./detector.js";
import { GroundedSam } from "./grounded-sam.js";
import { loadGroundedSam } from "./load.js";

const { image, instances } = bagScene({ seed: 1, split: "held-out", index: 0 });
const mapping = {
  // Out of order: the index counts, not the position.
  classes: [
    { index: 1, categoryId: 9, name: "Label" },
    { index: 0, categoryId: 4, name: "bag" },
  ],
};

/** Answers with these boxes and logits [bag, Label] whatever the picture, and notes what it was asked. */
function fake(answers: readonly { box: Box; logits: readonly [number, number] }[]) {
  const asked: (readonly string[])[] = [];
  const detector: TextDetector = {
    async logits(_image, { classes }) {
      asked.push(classes);
      const columns = classes.map((name) => ["bag", "Label"].indexOf(name));
      const logits = Float32Array.from(answers.flatMap((answer) => columns.map((c) => answer.logits[c]!)));
      return { boxes: answers.map(({ box }) => box), logits, classes: classes.length };
    },
    features: async () => [{ data: new Float32Array(2), shape: [1, 1, 2] }],
    dispose() {},
  };
  return { detector, asked };
}

let sam: Sam;
beforeAll(async () => {
  await tf.setBackend("onnxruntime");
  sam = Sam.fromPretrained(pretrainedSamDirectory());
});
afterAll(() => sam.dispose());

const bag = instances.find(({ kind }) => kind === "bag")!.box;
const label = instances.find(({ kind }) => kind === "label")!.box;

describe("GroundedSam.predict", () => {
  test("detections above the threshold become masks, best first, with SAM's logits for each box", async () => {
    const { detector, asked } = fake([
      { box: label, logits: [-3, 1] },
      { box: bag, logits: [2, -2] },
      { box: [0, 0, 5, 5], logits: [-3, -3] },
    ]);
    const teacher = new GroundedSam({ detector, sam, multimask: false });
    const {
      instances: found,
      maskSide,
      dinoFeatures,
      samFeatures,
    } = await teacher.predict(image, { classMapping: mapping });
    expect(asked).toEqual([["bag", "Label"]]);
    expect(found.map(({ classId, box }) => ({ classId, box }))).toEqual([
      { classId: 0, box: bag },
      { classId: 1, box: label },
    ]);
    expect(found[0]!.score).toBeCloseTo(1 / (1 + Math.exp(-2)), 6);
    expect([...found[0]!.classLogits]).toEqual([2, -2]);
    expect({ maskSide, dinoFeatures, samFeatures }).toEqual({ maskSide: 64, dinoFeatures: null, samFeatures: null });
    const direct = await predictInstanceMasks({ sam, image, boxes: [bag, label] });
    for (const [i, { maskLogits, mask, predictedIou }] of found.entries()) {
      expect(maskLogits).toEqual(direct.logits[i]);
      expect(predictedIou).toBe(direct.iou[i]);
      expect(mask.size).toEqual([image.height, image.width]);
      expect(maskAlgebra.area(mask)).toBeGreaterThan(20);
    }
  });

  test("without detections SAM does not run", async () => {
    const { detector } = fake([{ box: bag, logits: [-2, -2] }]);
    const encode = vi.spyOn(sam, "encodeImage");
    const result = await new GroundedSam({ detector, sam }).predict(image, { classMapping: mapping, features: true });
    expect(result.instances).toEqual([]);
    expect(result.samFeatures).toBeNull();
    expect(result.dinoFeatures).toHaveLength(1);
    expect(encode).not.toHaveBeenCalled();
    encode.mockRestore();
  });

  test("a source lends SAM once the detector has ended, and only when something was found", async () => {
    const order: string[] = [];
    const { detector } = fake([{ box: bag, logits: [2, -2] }]);
    const watched: TextDetector = {
      ...detector,
      async logits(...question) {
        const answer = await detector.logits(...question);
        order.push("detected");
        return answer;
      },
    };
    const source: SamSource = {
      config: sam.config,
      async use(work) {
        order.push("lent");
        const result = await work(sam);
        order.push("returned");
        return result;
      },
    };
    const lent = new GroundedSam({ detector: watched, sam: source, multimask: false });
    const owned = new GroundedSam({ detector, sam, multimask: false });
    expect(await lent.predict(image, { classMapping: mapping })).toEqual(
      await owned.predict(image, { classMapping: mapping }),
    );
    expect(order).toEqual(["detected", "lent", "returned"]);
    expect((await lent.predict(image, { classMapping: mapping, boxThreshold: 0.99 })).maskSide).toBe(64);
    expect(order).toEqual(["detected", "lent", "returned", "detected"]);
  });

  test("one run per class: a box may be found as both", async () => {
    const { detector, asked } = fake([{ box: bag, logits: [2, 1] }]);
    const teacher = new GroundedSam({ detector, sam, multimask: false });
    const { instances: found } = await teacher.predict(image, { classMapping: mapping, prompting: "per_class" });
    expect(asked).toEqual([["bag"], ["Label"]]);
    expect(found.map(({ classId, classLogits }) => [classId, ...classLogits])).toEqual([
      [0, 2, Number.NEGATIVE_INFINITY],
      [1, Number.NEGATIVE_INFINITY, 1],
    ]);
  });

  test("limits, suppression within a class, boxes kept inside the picture", async () => {
    const { detector } = fake([
      { box: [-20, -20, 60, 60], logits: [3, -9] },
      { box: [0, 0, 62, 61], logits: [2, -9] },
      { box: [0, 0, 61, 60], logits: [-9, 1] },
      { box: [-30, 4, -10, 20], logits: [5, -9] },
    ]);
    const teacher = new GroundedSam({ detector, sam, multimask: false });
    const classMapping = mapping;
    const all = await teacher.predict(image, { classMapping });
    expect(all.instances.map(({ box }) => box[0])).toEqual([0, 0, 0]);
    const suppressed = await teacher.predict(image, { classMapping, nmsIou: 0.5 });
    expect(suppressed.instances.map(({ classId }) => classId)).toEqual([0, 1]);
    expect((await teacher.predict(image, { classMapping, maxDetections: 1 })).instances).toHaveLength(1);
  });

  test("more boxes than one decoder call takes", async () => {
    const { detector } = fake(
      Array.from({ length: 70 }, (_, i) => ({ box: [i, 4, i + 30, 60] as const, logits: [2, 0] as const })),
    );
    const decode = vi.spyOn(sam, "predictMasks");
    const teacher = new GroundedSam({ detector, sam, multimask: false });
    const { instances: found } = await teacher.predict(image, { classMapping: mapping, features: true });
    expect(found).toHaveLength(70);
    expect(decode.mock.calls.map(([{ boxes }]) => boxes!.shape[1])).toEqual([64, 8]);
    decode.mockRestore();
  });

  test("a mapping without classes and an abort are errors", async () => {
    const teacher = new GroundedSam({ detector: fake([]).detector, sam });
    await expect(teacher.predict(image, { classMapping: { classes: [] } })).rejects.toThrow(RangeError);
    await expect(teacher.predict(image, { classMapping: mapping, signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
  });
});

test("the embedded networks find something of a bag picture, and say that they are not adapted", async () => {
  const { teacher, warnings, dispose } = loadGroundedSam({ samLora: "/nonexistent" });
  expect(warnings).toEqual([
    "Grounding DINO is not adapted: no adapter was given.",
    "SAM is not adapted: /nonexistent holds none.",
  ]);
  const classes = BAG_CLASSES.map((name, index) => ({ index, categoryId: index + 1, name }));
  const { instances: found } = await teacher.predict(image, { classMapping: { classes }, boxThreshold: 0.01 });
  expect(found.length).toBeGreaterThan(0);
  for (const { classId, score } of found) {
    expect(classId).toBeLessThan(classes.length);
    expect(score).toBeGreaterThan(0.01);
  }
  dispose();
});
