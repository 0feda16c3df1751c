import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { inkScene, sameBytes } from "../../test/pipeline-support.js";
import { createPipeline } from "../pipeline/pipeline.js";
import { createRegistry, loadPipeline, pipelineFromConfig, registry } from "../registry.js";
import { BUILT_IN } from "../transforms/built-in.js";
import { defaultProfile } from "./default-profile.js";
import type { Plan } from "./plan.js";
import { AXES, defineProfile, INTENSITIES } from "./profile.js";
import type { PipelineSpec } from "./spec.js";
import { registerTransform } from "./transform-registry.js";

const CHARACTERISTICS = [
  "changes_shape",
  "changes_size",
  "reflective_surface",
  "low_contrast",
  "moves_or_vibrates",
  "semi_transparent",
  "similar_to_background",
  "multiple_objects",
  "partially_hidden",
];
const profile = defaultProfile();
const find = (plan: Plan, type: string) => plan.trace.find((decision) => decision.type === type);
const step = (plan: Plan, path: string) => plan.steps.find((s) => s.path === path);
const translate = (spec: Partial<PipelineSpec>) => registry.translator.translate({ characteristics: [], ...spec });

describe("registry", () => {
  test("offers nine characteristics and four axes", () => {
    expect(registry.getAvailableCharacteristics()).toEqual(CHARACTERISTICS);
    expect(registry.getAvailableEnvironments()).toEqual({
      lighting: ["stable", "variable", "poor"],
      camera: ["fixed", "moving", "shaky"],
      background: ["clean", "busy", "changing"],
      distance: ["fixed", "variable", "close"],
    });
  });
  test("validateCharacteristics keeps the order, removes repeats, never throws", () => {
    const available = CHARACTERISTICS;
    expect(registry.translator.validateCharacteristics([])).toEqual({ valid: [], unsupported: [], available });
    expect(
      registry.translator.validateCharacteristics(["low_contrast", "shiny", "changes_size", "low_contrast", "shiny"]),
    ).toEqual({ valid: ["low_contrast", "changes_size"], unsupported: ["shiny"], available });
  });
  test("unknown names throw with what is available and what is near, or warn when lenient", () => {
    expect(() => registry.getPipeline({ characteristics: ["low_contrst"] })).toThrowError(
      expect.objectContaining({
        code: "unknown_characteristic",
        unsupported: ["low_contrst"],
        available: CHARACTERISTICS,
        nearest: "low_contrast",
        path: "characteristics",
      }),
    );
    expect(() => translate({ environment: { lighting: "pour" } })).toThrowError(
      expect.objectContaining({ code: "unknown_environment", nearest: "poor", path: "environment.lighting" }),
    );
    const lenient = translate({ characteristics: ["shiny", "low_contrast"], strict: false });
    expect(lenient.characteristics).toEqual(["low_contrast"]);
    expect(lenient.warnings[0]).toMatch(/shiny/);
  });
  test("the total is the number of distinct transforms, mixing included, in execution order", () => {
    const info = registry.getPipelineInfo({
      characteristics: CHARACTERISTICS,
      distillation: { epochs: 10 },
      facts: { orientationFree: true },
    });
    expect(info.total).toBe(info.types.length);
    expect(new Set(info.types).size).toBe(info.total);
    const order = ["mosaic", "copy_paste", ...BUILT_IN.map(({ type }) => type), "mixup"];
    expect(info.types.map((type) => order.indexOf(type))).toEqual(
      info.types.map((type) => order.indexOf(type)).sort((a, b) => a - b),
    );
    for (const entry of info.trace) expect(entry.because.length).toBeGreaterThan(0);
  });
  test("every built-in type but the extension GaussianBlur is reachable", () => {
    const types = new Set<string>();
    for (const axis of AXES) {
      for (const value of registry.getAvailableEnvironments()[axis]) {
        const info = registry.getPipelineInfo({
          characteristics: CHARACTERISTICS,
          environment: { [axis]: value },
          facts: { orientationFree: true },
        });
        for (const type of info.types) types.add(type);
      }
    }
    expect(BUILT_IN.map(({ type }) => type).filter((type) => !types.has(type))).toEqual(["GaussianBlur"]);
  });
});

describe("deduplication", () => {
  test("a group fires with 1 - product of misses, capped by the tier", () => {
    const plan = translate({ characteristics: ["changes_shape"], base: false });
    expect(step(plan, "mesh#0")).toMatchObject({ p: 0.5, members: [{ weight: 0.4 }, { weight: 0.3 }] });
  });
  test("the largest p and the union of the ranges win, restrictions narrow only the base", () => {
    const fixed = translate({ environment: { camera: "fixed", distance: "fixed" } });
    expect(find(fixed, "Affine")!.params).toMatchObject({
      rotate: [0, 0],
      translateFrac: [-0.02, 0.02],
      scale: [0.95, 1.05],
    });
    const moving = translate({ characteristics: ["moves_or_vibrates"], environment: { camera: "fixed" } });
    expect(find(moving, "Affine")!.params).toMatchObject({ rotate: [-5, 5], translateFrac: [-0.05, 0.05] });
    const shaken = translate({ characteristics: ["moves_or_vibrates"], environment: { camera: "shaky" } });
    expect(find(shaken, "SafeRotate")).toMatchObject({ kind: "merged", params: { limit: [-25, 25] } });
  });
  test("caps collapse, vetoes win, overrides replace", () => {
    const small = translate({ characteristics: ["multiple_objects"], facts: { smallObjects: true } });
    expect(find(small, "CoarseDropout")).toMatchObject({ kind: "capped", params: { holeFrac: [0.03, 0.03] } });
    const rigid = translate({ characteristics: ["changes_shape"], facts: { rigid: true } });
    expect(find(rigid, "ElasticTransform")).toMatchObject({ kind: "vetoed", p: 0 });
    expect(rigid.steps.some(({ path }) => path === "mesh#0")).toBe(false);
    const text = translate({
      facts: { chirality: true, orientationFree: true },
      overrides: [
        { type: "HorizontalFlip", p: 1 },
        { type: "GaussNoise", p: 0.9, std: [0.01, 0.03] },
        { type: "RandomBrightnessContrast", enabled: false },
      ],
    });
    expect(find(text, "HorizontalFlip")).toMatchObject({ kind: "vetoed" });
    expect(find(text, "VerticalFlip")).toMatchObject({ kind: "vetoed" });
    expect(find(text, "SafeRotate")!.params).toMatchObject({ limit: [-7, 7] });
    expect(step(text, "GaussNoise#0")).toMatchObject({ p: 0.9, params: { std: [0.01, 0.03], perChannel: true } });
    expect(find(text, "RandomBrightnessContrast")).toMatchObject({ kind: "vetoed" });
  });
  test("stable light silences the scene group unless a characteristic asks", () => {
    const quiet = translate({ environment: { lighting: "stable", background: "changing" } });
    expect(find(quiet, "RandomFog")).toMatchObject({ kind: "skipped", group: "scene" });
    const asked = translate({ characteristics: ["semi_transparent"], environment: { lighting: "stable" } });
    expect(find(asked, "RandomFog")!.p).toBeGreaterThan(0);
  });
  test("a transform that needs masks is skipped without them", () => {
    const pipeline = registry.getPipeline({
      characteristics: [],
      base: false,
      facts: { thinObjects: true },
      overrides: [],
      seed: 1,
    });
    const { image, bboxes } = inkScene();
    const notes = Array.from({ length: 20 }, (_, index) =>
      pipeline.applySync({ image, bboxes: bboxes! }, { index }),
    ).flatMap(({ trace }) => trace.flatMap((s) => s.notes ?? []));
    expect(notes).toContain("needs masks, the sample has none");
  });
  test("over the whole space: p in its tier, the budget held, every entry has a source", () => {
    fc.assert(
      fc.property(
        fc.subarray(CHARACTERISTICS),
        fc.record(
          Object.fromEntries(
            AXES.map((axis) => [axis, fc.constantFrom(undefined, ...Object.keys(profile.environments[axis]))]),
          ),
        ),
        fc.constantFrom(...INTENSITIES),
        fc.subarray(Object.keys(profile.facts)),
        (characteristics, environment, intensity, facts) => {
          const plan = translate({
            characteristics,
            environment: environment as never,
            intensity,
            facts: Object.fromEntries(facts.map((fact) => [fact, true])),
          });
          const [low, high] = profile.tiers[intensity];
          let sum = 0;
          let miss = 1;
          for (const s of plan.steps) {
            expect(s.p).toBeGreaterThanOrEqual(low - 1e-12);
            expect(s.p).toBeLessThanOrEqual(high);
            const kind = s.kind === "one" ? BUILT_IN.find(({ type }) => type === s.type)!.kind : "image";
            if (kind === "geometric") miss *= 1 - s.p;
            else sum += s.p;
          }
          expect(sum + 1 - miss).toBeLessThanOrEqual(profile.budgets[intensity] + 1e-9);
          for (const { because } of plan.trace) expect(because.length).toBeGreaterThan(0);
          // JSON through and through.
          expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
        },
      ),
      { numRuns: 150 },
    );
  });
  test("only custom types can overfill the budget; the least specific goes first", () => {
    const names = ["CustomA", "CustomB", "CustomC", "CustomD", "CustomE", "CustomF", "CustomG"];
    for (const type of names) {
      const blur = BUILT_IN.find((t) => t.type === "Blur")!;
      registerTransform({ ...blur, type } as never);
    }
    const own = defineProfile({
      ...profile,
      magnitudes: {},
      base: { add: names.slice(0, 2).map((type) => ({ type, p: "a" })) },
      characteristics: { many: { add: names.slice(2).map((type) => ({ type, p: "a" })) } },
      facts: {},
      budgets: { low: 0.8, medium: 1.6, high: 2.6 },
    });
    const plan = createRegistry({ profile: own }).translator.translate({ characteristics: ["many"] });
    expect(find(plan, "CustomB")).toMatchObject({ kind: "budget", p: 0 });
    expect(find(plan, "CustomA")).toMatchObject({ kind: "budget", p: 0 });
    expect(find(plan, "CustomC")!.p).toBeCloseTo(0.3, 9);
  });
  test("a profile with p outside its tier is refused", () => {
    const odd = { ...profile, base: { add: [{ type: "Affine", p: [0.5, 0.4, 0.6] }] } };
    expect(() => defineProfile(odd)).toThrowError(
      expect.objectContaining({ code: "invalid_config", path: "profile.base.add[0].p" }),
    );
  });
});

describe("files", () => {
  const YAML = `
schemaVersion: 1
seed: 42
characteristics: [reflective_surface, low_contrast]
environment: { lighting: variable, camera: fixed, background: busy, distance: variable }
intensity: medium
facts: { smallObjects: false, chirality: false }
canvas: { width: 64, height: 64 }
fill: 114
instances: { minVisibility: 0.1, minWidth: 2, minHeight: 2 }
distillation: { mosaic: 0.5, mixup: 0.1, copy_paste: 0.15, epochs: 100, closeMosaic: 10 }
overrides:
  - { type: GaussNoise, p: 0.3, std: [0.01, 0.03] }
  - { type: RandomFog, enabled: false }
`;
  test("the specification's file loads; the resolved plan gives the same plan again", () => {
    const pipeline = loadPipeline(YAML);
    expect(pipeline.info().types).toContain("GaussNoise");
    expect(pipeline.info().types).not.toContain("RandomFog");
    const again = loadPipeline(pipeline.toYAML());
    expect(again.plan.steps).toEqual(pipeline.plan.steps);
    expect(again.planHash).toBe(pipeline.planHash);
    expect(again.toYAML()).toBe(pipeline.toYAML());
  });
  test.each(BUILT_IN.map(({ type }) => type))("%s: defaults survive the file, same bytes", (type) => {
    const config = { schemaVersion: 1, seed: 3, transforms: [{ type }] };
    const pipeline = pipelineFromConfig(config);
    const written = parse(pipeline.toYAML()) as { transforms: object[] };
    expect(Object.keys(written.transforms[0]!).length).toBeGreaterThanOrEqual(2);
    const sample = { image: inkScene().image, bboxes: inkScene().bboxes! };
    const a = pipeline.applySync(sample, { index: 2 });
    const b = loadPipeline(pipeline.toYAML()).applySync(sample, { index: 2 });
    expect(sameBytes(a.image.data, b.image.data)).toBe(true);
    expect(b.replay).toEqual(a.replay);
  });
  const bad: [string, object, string, RegExp][] = [
    ["unknown key", { transforms: [{ type: "Blur", sizefrac: [0, 1] }] }, "transforms[0].sizefrac", /sizeFrac/],
    ["scalar range", { transforms: [{ type: "Blur", sizeFrac: 0.01 }] }, "transforms[0].sizeFrac", /\[low, high\]/],
    [
      "reversed range",
      { transforms: [{ type: "Blur", sizeFrac: [0.02, 0.01] }] },
      "transforms[0].sizeFrac",
      /low <= high/,
    ],
    [
      "name of another library",
      { transforms: [{ type: "Blur", blur_limit: 3 }] },
      "transforms[0].blur_limit",
      /sizeFrac/,
    ],
    ["p above 1", { transforms: [{ type: "Blur", p: 1.5 }] }, "transforms[0].p", /\[0, 1\]/],
    ["NaN", { transforms: [{ type: "Blur", sizeFrac: [Number.NaN, 0.1] }] }, "transforms[0].sizeFrac[0]", /low/],
    [
      "folding field",
      { transforms: [{ type: "ElasticTransform", rmsFrac: [0, 0.05] }] },
      "transforms[0].rmsFrac",
      /folds/,
    ],
    ["unknown top key", { characteristics: [], intesity: "low" }, "intesity", /intensity/],
    ["wrong intensity", { characteristics: [], intensity: "max" }, "intensity", /medium/],
    ["unknown fact", { characteristics: [], facts: { shiny: true } }, "facts.shiny", /smallObjects/],
    ["both kinds", { characteristics: [], transforms: [] }, "characteristics", /exclude/],
    ["neither kind", {}, "characteristics", /transforms/],
    ["negative seed", { characteristics: [], seed: -1 }, "seed", /0/],
    ["bad rule", { characteristics: [], instances: { minVisibility: 2 } }, "instances.minVisibility", /\[0, 1\]/],
    ["bad mixing", { characteristics: [], distillation: { mosaic: 3 } }, "distillation.mosaic", /\[0, 1\]/],
    [
      "override",
      { characteristics: [], overrides: [{ type: "Blur", p: 1, size: 3 }] },
      "overrides[0].size",
      /sizeFrac/,
    ],
    ["override without p", { characteristics: [], overrides: [{ type: "Blur" }] }, "overrides[0].p", /probability/],
  ];
  test.each(bad)("%s is refused with its place", (_, config, path, message) => {
    expect(() => pipelineFromConfig({ schemaVersion: 1, ...config })).toThrowError(
      expect.objectContaining({ code: "invalid_config", path, message: expect.stringMatching(message) }),
    );
  });
  test("wrong versions, unknown transforms and text that is no YAML", () => {
    for (const [text, code, path] of [
      ["characteristics: []", "invalid_config", "schemaVersion"],
      ["schemaVersion: 2\ncharacteristics: []", "invalid_config", "schemaVersion"],
      ["schemaVersion: 1\ntransforms: [{type: Afine}]", "unknown_transform", "transforms[0]"],
      ["a: [", "invalid_config", ""],
      ["- 1", "invalid_config", ""],
    ] as const) {
      expect(() => loadPipeline(text)).toThrowError(expect.objectContaining({ code, path }));
    }
  });
  test("two streams of one name are refused", () => {
    const plan = translate({ characteristics: ["changes_shape"] });
    const steps = plan.steps.map((s) => (s.path === "mesh#0" ? { ...s, path: "Affine#0" } : s));
    expect(() => createPipeline({ ...plan, steps })).toThrowError(
      expect.objectContaining({ code: "invalid_config", path: "Affine#0" }),
    );
  });
});

describe("sanityCheck", () => {
  test("passes a mild plan and recommends a lower intensity for a harsh one", () => {
    const samples = [inkScene()];
    expect(registry.getPipeline({ characteristics: [], intensity: "low" }).sanityCheck(samples)).toMatchObject({
      ok: true,
      renderings: 16,
    });
    const harsh = registry.getPipeline({
      characteristics: [],
      intensity: "high",
      overrides: [{ type: "RandomScale", p: 1, scaleLimit: [8, 9] }],
    });
    expect(harsh.sanityCheck(samples)).toMatchObject({ ok: false, recommendation: "medium" });
  });
});
