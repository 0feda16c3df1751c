import type { CocoDataset } from "@seg/coco-dataset";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { complexityOf } from "./complexity.js";
import { decide } from "./decide.js";
import { explainPlan } from "./explain.js";
import type { Constraints, PlanRequest } from "./facts.js";
import { type DatasetFingerprint, fingerprintDataset, fingerprintSha256 } from "./fingerprint.js";
import { makePlan } from "./plan.js";
import { defaultRules, parseRules } from "./rules.js";

/** `images` pictures of 1000 x 500 with `objects` squares each; classes in turn. */
function squares({
  images = 100,
  objects = 3,
  side = 100,
  classes = 2,
  masks = false,
}: {
  images?: number;
  objects?: number;
  side?: number;
  classes?: number;
  masks?: boolean;
} = {}): CocoDataset {
  let id = 0;
  return {
    images: Array.from({ length: images }, (_, i) => ({ id: i + 1, file_name: `${i}.png`, width: 1000, height: 500 })),
    categories: Array.from({ length: classes }, (_, i) => ({ id: i + 1, name: `class ${i}` })),
    annotations: Array.from({ length: images }, (_, image) =>
      Array.from({ length: objects }, (_, k) => {
        const [x, y] = [
          (k * (side + 10)) % (1000 - side),
          (Math.floor((k * (side + 10)) / (1000 - side)) * (side + 10)) % 400,
        ];
        return {
          id: ++id,
          image_id: image + 1,
          category_id: ((id - 1) % classes) + 1,
          bbox: [x, y, side, side],
          area: side * side,
          iscrowd: 0,
          ...(masks ? { segmentation: [[x, y, x + side, y, x + side, y + side, x, y + side]] } : {}),
        };
      }),
    ).flat(),
  } as unknown as CocoDataset;
}

const planOf = async (dataset: CocoDataset, request: Partial<PlanRequest> = {}) =>
  makePlan({ fingerprint: await fingerprintDataset(dataset), ...request });

describe("fingerprintDataset", () => {
  test("says what is there, relative to the image, the same every time", async () => {
    const fingerprint = await fingerprintDataset(squares());
    expect(fingerprint).toMatchObject({
      images: 100,
      annotations: 300,
      classes: 2,
      class_names: ["class 0", "class 1"],
      has_bbox: true,
      has_segmentation: false,
      relative_area: { p50: 0.02 },
      short_side_p10: 0.1,
      objects_per_image: { p50: 3 },
      imbalance: 1,
      gini: 0,
      small_share: 0,
      overlap_share: 0,
      appearance: null,
    });
    expect(fingerprintSha256(await fingerprintDataset(squares()))).toBe(fingerprintSha256(fingerprint));
    expect(fingerprintSha256(await fingerprintDataset(squares({ side: 101 })))).not.toBe(
      fingerprintSha256(fingerprint),
    );
  });

  test("gini of 1, 2, 3 and of a single class", async () => {
    const dataset = squares({ images: 6, objects: 1, classes: 1 });
    const [a, b, c] = [1, 2, 3].map((id) => ({ id, name: String(id) }));
    const annotations = dataset.annotations.map((annotation, i) => ({
      ...annotation,
      category_id: [1, 2, 2, 3, 3, 3][i]!,
    }));
    // Sum |a - b| over all pairs = 8; 8 / (2 * 3 * 6) = 2 / 9.
    const { gini } = await fingerprintDataset({ ...dataset, categories: [a!, b!, c!], annotations } as CocoDataset);
    expect(gini).toBeCloseTo(2 / 9, 12);
    expect((await fingerprintDataset(dataset)).gini).toBe(0);
  });

  test("counts who overlaps, and leaves crowds out", async () => {
    const dataset = squares({ images: 1, objects: 2, side: 100, classes: 1 });
    const [first, second] = dataset.annotations;
    const moved = { ...second!, bbox: [50, 0, 100, 100] };
    // 50 x 100 shared of 150 x 100: 1/3.
    expect((await fingerprintDataset({ ...dataset, annotations: [first!, moved] } as CocoDataset)).overlap_share).toBe(
      1,
    );
    const crowd = { ...moved, iscrowd: 1 };
    const fingerprint = await fingerprintDataset({ ...dataset, annotations: [first!, crowd] } as CocoDataset);
    expect(fingerprint).toMatchObject({ overlap_share: 0, crowd_share: 0.5, relative_area: { count: 1 } });
  });
});

describe("complexity", () => {
  const at = async (part: Partial<DatasetFingerprint>) => {
    const fingerprint = { ...(await fingerprintDataset(squares())), ...part };
    return complexityOf(fingerprint).value;
  };

  test("is the mean of its terms, known ones only", async () => {
    const zero = { classes: 1, small_share: 0, overlap_share: 0, gini: 0 };
    const many = { count: 1, min: 0, p5: 0, p25: 0, p50: 20, p75: 0, p95: 0, max: 0, mean: 0 };
    expect(await at({ ...zero, objects_per_image: { ...many, p50: 0 } })).toBe(0);
    expect(await at({ ...zero, objects_per_image: many })).toBe(1 / 5);
    expect(await at({ classes: 64, small_share: 1, overlap_share: 1, gini: 1, objects_per_image: many })).toBe(1);
    const fingerprint = await fingerprintDataset(squares());
    expect(Object.keys(complexityOf(fingerprint, 0.8).terms)).toContain("domain");
  });

  test("0, 0.5, 1 give 20, 35, 50 epochs, and four times as many for the student", () => {
    const facts = (complexity: number) => ({ ...someFacts, complexity });
    expect([0, 0.5, 1].map((value) => decide(defaultRules(), facts(value)).choices["lora_epochs"])).toEqual([
      20, 35, 50,
    ]);
    expect(decide(defaultRules(), facts(0.5)).choices["student_epochs"]).toBe(140);
  });
});

/** Facts of some data set, as `factsOf` gives them. */
const someFacts = {
  images: 600,
  objects: 1800,
  classes: 3,
  has_bbox: true,
  has_segmentation: true,
  median_objects: 3,
  short_side_p10: 0.05,
  size_spread: 2,
  small_share: 0,
  overlap_share: 0,
  imbalance: 1,
  looks_known: true,
  brightness: 120,
  brightness_spread: 10,
  contrast: 50,
  sharpness: 500,
  complexity: 0.2,
  learning_rate_base: 0.01 / 7,
  priority: "balanced",
  domain: "photographic",
  precision: 0.5,
  device: "cpu",
  free_bytes: 1e12,
  max_latency_ms: null,
  gflops_per_second: null,
  max_model_bytes: null,
  time_budget_s: null,
  seconds_per_gflop: null,
  permissive_only: false,
} as const;

describe("the rules", () => {
  const choices = (facts: Partial<Record<keyof typeof someFacts, unknown>> = {}) =>
    decide(defaultRules(), { ...someFacts, ...(facts as object) }).choices;

  test.each([
    [{}, "yolov8s-seg", "grounding-dino-tiny", "sam-vit-h"],
    [{ has_segmentation: false }, "yolov8s", "grounding-dino-tiny", null],
    [{ has_segmentation: false, images: 499 }, "yolov8n", "grounding-dino-tiny", null],
    [{ priority: "quality" }, "yolov8m-seg", "grounding-dino-base", "sam-vit-h"],
    [{ priority: "quality", images: 499 }, "yolov8s-seg", "grounding-dino-base", "sam-vit-h"],
    [{ priority: "speed" }, "yolov8n-seg", "grounding-dino-tiny", "sam-vit-h"],
    [{ has_bbox: false }, "fastsam-s", null, "sam-vit-h"],
    [{ has_bbox: false, classes: 1 }, "mobilesam", null, "sam-vit-h"],
    [{ has_bbox: false, permissive_only: true }, "mobilesam", null, "sam-vit-h"],
  ])("models of %o", (facts, student, detector, masks) => {
    expect(choices(facts)).toMatchObject({ student, detector_teacher: detector, mask_teacher: masks });
  });

  test.each([
    // 8 px of objects whose short side is 5 % of the long side of the image: 160, below the smallest size.
    [0.05, 320],
    [0.02, 416],
    [0.0125, 640],
    [0.001, 1280],
    [0, 1280],
  ])("image size for a short side of %f of the image", (short_side_p10, size) => {
    expect(choices({ short_side_p10 })["image_size"]).toBe(size);
  });

  test("no object: 640 px", () => expect(choices({ objects: 0 })["image_size"]).toBe(640));

  test.each([
    [199, 4],
    [200, 8],
    [999, 8],
    [1000, 16],
    [4999, 16],
    [5000, 32],
  ])("LoRA rank for %i images", (images, rank) => {
    expect(choices({ images })).toMatchObject({ lora_rank: rank, lora_alpha: 2 * rank });
  });

  test.each([
    [3, 2],
    [10, 4],
    [100, 4],
    [159, 4],
    [160, 8],
    [10_000, 16],
  ])("batch for %i images on the cpu", (images, batch) => {
    expect(choices({ images })["batch"]).toBe(batch);
    expect(choices({ images })["learning_rate"]).toBeCloseTo((0.01 / 7) * Math.sqrt(batch / 16), 12);
  });

  test("thresholds of domains", () => {
    expect(choices()).toMatchObject({ box_threshold: 0.35, text_threshold: 0.25 });
    expect(choices({ domain: "medical", precision: 0 })).toMatchObject({ box_threshold: 0.2, text_threshold: 0.15 });
    expect(choices({ domain: "synthetic", precision: 1 })["box_threshold"]).toBeCloseTo(0.35, 12);
  });

  test("how the images look", () => {
    expect(choices()).toMatchObject({ lighting: "stable", camera: "fixed", characteristics: [] });
    expect(choices({ brightness: 50, sharpness: 20, contrast: 10, overlap_share: 0.2 })).toMatchObject({
      lighting: "poor",
      camera: "moving",
      characteristics: ["low_contrast", "partially_hidden"],
    });
    const unknown = { looks_known: false, brightness: null, brightness_spread: null, contrast: null, sharpness: null };
    expect(choices(unknown)).toMatchObject({ lighting: "stable", camera: "fixed", characteristics: [] });
  });
});

describe("a time budget", () => {
  const bags = { images: 252, short_side_p10: 0.066 };
  const cells = { images: 255, short_side_p10: 0.1, has_segmentation: false };
  const planned = (facts: Record<string, unknown>) => {
    const { choices, trace } = decide(defaultRules(), { ...someFacts, ...facts } as never);
    const rule = trace.find(({ output }) => output === "image_size")!.rule_id;
    return [choices["image_size"], choices["student_epochs"], rule];
  };

  test("makes images smaller until 16 epochs fit, then takes the epochs that fit", () => {
    // 0.054 s x 12.6 GFLOP x (size / 640)^2 an image, 65 % of the time.
    expect(planned({ ...bags, time_budget_s: 270 })).toEqual([160, 16, "size-in-time-masks"]);
    expect(planned({ ...bags, time_budget_s: 600 })).toEqual([224, 18, "size-in-time-masks"]);
    expect(planned({ ...cells, time_budget_s: 840 })).toEqual([320, 18, "size-in-time"]);
    expect(planned({ ...bags, time_budget_s: null })).toEqual([320, 104, "size-small-objects"]);
  });

  test("measured seconds count instead of the rules'", () => {
    expect(planned({ ...bags, time_budget_s: 600, seconds_per_gflop: 0.027 }).slice(0, 2)).toEqual([320, 18]);
  });

  test("more time never gives smaller images, no time never smaller ones than small objects need", () => {
    const seconds = fc.integer({ min: 1, max: 20_000 });
    fc.assert(
      fc.property(seconds, seconds, fc.double({ min: 0.004, max: 0.4, noNaN: true }), (budget, more, side) => {
        const size = (time_budget_s: number | null) =>
          Number(planned({ ...bags, short_side_p10: side, time_budget_s })[0]);
        expect(size(budget + more)).toBeGreaterThanOrEqual(size(budget));
        expect(size(budget)).toBeLessThanOrEqual(size(null));
        expect(size(budget)).toBeGreaterThanOrEqual(Math.min(1280, Math.max(160, 8 / side)));
        expect(size(budget) % 32).toBe(0);
      }),
      { numRuns: 50 },
    );
  });
});

describe("limits", () => {
  test("more memory never gives a smaller model, and what is chosen fits", async () => {
    const fingerprint = await fingerprintDataset(squares({ masks: true, images: 600 }));
    const sizes = ["mobile-sam", "sam-vit-b", "sam-vit-l", "sam-vit-h"];
    fc.assert(
      fc.property(fc.integer({ min: 2e9, max: 12e9 }), fc.integer({ min: 0, max: 12e9 }), (freeBytes, more) => {
        const teacher = (bytes: number) =>
          String(makePlan({ fingerprint, constraints: { freeBytes: bytes } }).choices["mask_teacher"]);
        expect(sizes.indexOf(teacher(freeBytes + more))).toBeGreaterThanOrEqual(sizes.indexOf(teacher(freeBytes)));
        expect(defaultRules().models[teacher(freeBytes)]!.weights * 2.5).toBeLessThanOrEqual(freeBytes);
      }),
      { numRuns: 30 },
    );
  });

  test("names the limit where nothing fits, and what was too large where something did", async () => {
    const dataset = squares({ masks: true });
    const plan = (constraints: Constraints) => planOf(dataset, { constraints });
    await expect(plan({ freeBytes: 1e6 })).rejects.toMatchObject({
      code: "NO_FEASIBLE_PLAN",
      message: expect.stringMatching(/detector teacher.*memory limit.*grounding-dino-tiny/),
    });
    await expect(plan({ maxModelBytes: 1e6 })).rejects.toMatchObject({ details: { output: "student" } });
    await expect(plan({ maxLatencyMs: 1, gflopsPerSecond: 10 })).rejects.toThrow(/latency limit/);
    const quality = await planOf(squares({ images: 600 }), {
      priority: "quality",
      constraints: { maxLatencyMs: 100, gflopsPerSecond: 100 },
    });
    // 320 px: yolov8m 19.7 GFLOPs take 197 ms, yolov8s 7.15 take 72.
    expect(quality.choices["student"]).toBe("yolov8s");
    expect(quality.trace.find(({ output }) => output === "student")?.exceeded).toMatchObject([
      { model: "yolov8m", limit: "latency", available: 100 },
    ]);
    expect(quality.estimates.latency_ms).toBeCloseTo(71.5, 1);
  });

  test("without the device's speed a latency limit is said not to be applied", async () => {
    const { warnings } = await planOf(squares(), { constraints: { maxLatencyMs: 1 } });
    expect(warnings).toEqual([expect.stringContaining("was not applied")]);
  });

  test("no boxes and no masks", async () => {
    const dataset = squares();
    const bare = dataset.annotations.map(({ bbox: _bbox, ...rest }) => rest);
    await expect(planOf({ ...dataset, annotations: bare } as CocoDataset)).rejects.toMatchObject({
      code: "NO_ANNOTATIONS",
    });
  });
});

describe("extremes", () => {
  test("tiny objects: the largest image", async () => {
    const { choices, complexity } = await planOf(squares({ side: 4, images: 300 }));
    expect(choices).toMatchObject({ image_size: 1280 });
    expect(complexity.terms["small"]).toBe(1);
  });

  test("one image per class: a warning, the smallest adapter", async () => {
    const { choices, warnings } = await planOf(squares({ images: 12, objects: 1, classes: 12 }));
    expect(choices).toMatchObject({ lora_rank: 4, augmentation: "high", student: "yolov8n", batch: 4 });
    expect(warnings).toEqual([expect.stringContaining("rarest class is on 1 image:")]);
  });

  test("200 classes: a low rate, complex", async () => {
    const { choices, complexity } = await planOf(squares({ images: 2000, classes: 200 }));
    expect(complexity.terms["classes"]).toBe(1);
    expect(choices["learning_rate"]).toBeCloseTo(0.01 / 204, 9);
    expect(choices["student"]).toBe("yolov8s");
  });
});

describe("a plan", () => {
  test("is the same for the same request; what the user decides stands", async () => {
    const plan = await planOf(squares());
    expect(await planOf(squares())).toEqual(plan);
    const own = await planOf(squares(), { overrides: { image_size: 512, student: "yolov8m" } });
    expect(own.choices).toMatchObject({ image_size: 512, student: "yolov8m" });
    expect(own.trace.filter(({ kind }) => kind === "user").map(({ output }) => output)).toEqual([
      "image_size",
      "student",
    ]);
    expect(own.id).not.toBe(plan.id);
  });

  test("every counterfactual is true: with the fact moved the choice is the other one", async () => {
    const rules = defaultRules();
    for (const dataset of [squares(), squares({ masks: true, images: 700, side: 20, objects: 8 })]) {
      const { facts, choices, counterfactuals } = await planOf(dataset, { constraints: { freeBytes: 8e9 } });
      expect(counterfactuals.length).toBeGreaterThan(5);
      for (const { output, from, to, fact, now, movedTo } of counterfactuals) {
        expect(from).toEqual(choices[output]);
        expect(facts[fact]).toBe(now);
        expect(decide(rules, { ...facts, [fact]: movedTo }).choices[output]).toEqual(to);
        expect(to).not.toEqual(from);
      }
    }
  });

  test("options hold the chosen student; the weights of the priority add up to one", async () => {
    const { options, choices } = await planOf(squares());
    expect(options.map(({ student }) => student)).toEqual(["yolov8n", "yolov8s", "yolov8m"]);
    expect(options.map(({ student }) => student)).toContain(choices["student"]);
    expect(options.every(({ is_pareto }) => is_pareto)).toBe(true);
  });

  test("each level of an explanation holds the lines of the one before", async () => {
    const plan = await planOf(squares({ masks: true }), { constraints: { freeBytes: 3e9 } });
    const levels = (["minimal", "standard", "detailed", "technical"] as const).map((level) => explainPlan(plan, level));
    for (const [i, text] of levels.slice(1).entries()) {
      for (const line of levels[i]!.trim().split("\n")) expect(text).toContain(line);
    }
    expect(levels[0]).toBe(
      "yolov8n-seg at 320 px taught by grounding-dino-tiny and sam-vit-b, 88 epochs, batch 4, exported as int8.\n",
    );
    expect(levels[1]).toContain("sam-vit-l would need 3.1 GB of 3.0 GB");
    expect(levels[2]).toContain("if the free memory were 3.1 GB or more (now 3.0 GB): mask teacher sam-vit-l");
    expect(levels[2]).toMatch(/if the number of images were 160 or more \(now 100\): .*batch 8/);
    expect(levels[3]).toContain("[masks-largest, rule]");
  });
});

describe("parseRules", () => {
  const minimal = (outputs: string) => `
version: 1
models: { a: { role: student, weights: 1 } }
limits: { teacher_memory_factor: { value: 2, kind: rule }, memory_share: { value: 1, kind: rule } }
outputs: { x: [${outputs}] }`;

  test.each([
    ["{ id: r, kind: rule, reason: why }", /exactly one of value, prefer and formula/],
    ["{ id: r, kind: rule, value: 1, prefer: [a], reason: why }", /exactly one of/],
    ["{ id: r, kind: rule, prefer: [b], reason: why }", /"b" is not among the models/],
    ["{ id: r, kind: rule, value: 1, reason: why }, { id: r, kind: rule, value: 2, reason: why }", /"r" is used twice/],
    ["{ id: r, kind: guess, value: 1, reason: why }", /outputs\.x\.0\.kind/],
    ["{ id: r, kind: rule, value: 1, reason: why, becuase: 1 }", /becuase/],
  ])("refuses %s", (outputs, message) => {
    expect(() => parseRules(minimal(outputs))).toThrow(message);
  });

  test("refuses what is no YAML, and rules that no fact satisfies", () => {
    expect(() => parseRules("a: [")).toThrow(/no YAML/);
    const rules = parseRules(minimal("{ id: r, kind: rule, when: { colour: { is: red } }, value: 1, reason: why }"));
    expect(() => decide(rules, {})).toThrow(/"colour" is no fact/);
    expect(() => decide(rules, { colour: "blue" })).toThrow(/no rule holds/);
    expect(decide(rules, { colour: "red" }).choices).toEqual({ x: 1 });
  });
});
