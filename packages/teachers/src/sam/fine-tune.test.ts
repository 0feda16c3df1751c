import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CounterRandom } from "@seg/augment";
import { loraLayers } from "@seg/lora";
import { stateDict, writeSafetensors } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadTeachers } from "../load-teachers.js";
import { sceneItem } from "../synthetic/scene-item.js";
import { shapeScene } from "../synthetic/shape-world.js";
import { parseSamConfig, samConfigJson } from "./config.js";
import { evaluateSam, formatSamEvaluation, type SamItem } from "./evaluate.js";
import { fineTuneSam, type SamFineTuneEvent } from "./fine-tune.js";
import { predictInstanceMasks } from "./predict.js";
import { Sam } from "./sam.js";

const scratch = mkdtempSync(join(tmpdir(), "seg-teachers-"));
beforeAll(async () => {
  await tf.setBackend("cpu");
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const micro = parseSamConfig({
  vision_config: {
    hidden_size: 16,
    output_channels: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    image_size: 32,
    patch_size: 8,
    window_size: 0,
    num_pos_feats: 8,
    mlp_dim: 16,
  },
  prompt_encoder_config: { hidden_size: 16, mask_input_channels: 8 },
  mask_decoder_config: { hidden_size: 16, mlp_dim: 16, num_attention_heads: 2, iou_head_hidden_dim: 16 },
});
const scenes = Array.from({ length: 8 }, (_, index) => shapeScene({ seed: 2, split: "train", index, side: 32 }));
const items = scenes
  .filter(({ instances }) => instances.length >= 2)
  .slice(0, 2)
  .map((scene) => sceneItem(scene, ["circle", "blob"]));

const options = { items, batch: 2, prompts: 2, steps: 8, lr: 2e-2, maxTrainableRatio: 1, lora: { r: 2, loraAlpha: 4 } };

/** Losses of random batches are noisy; ends of the run are compared. */
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe("fineTuneSam", () => {
  test("adapts 32 decoder layers, lowers the loss, saves an adapter that loads onto its base only", async () => {
    const base = join(scratch, "base");
    const sam = new Sam(micro, { seed: 0 });
    writeSafetensors(join(base, "model.safetensors"), stateDict(sam), { metadata: { format: "pt" } });
    writeFileSync(join(base, "config.json"), JSON.stringify(samConfigJson(micro)));
    const frozen = stateDict(sam);
    const events: SamFineTuneEvent[] = [];
    const outDir = join(scratch, "teachers", "sam_lora");
    const result = await fineTuneSam({ ...options, sam, validation: items, outDir, onEvent: (e) => events.push(e) });

    expect(result.handle!.targets).toHaveLength(32);
    expect(mean(result.losses.slice(-3))).toBeLessThan(mean(result.losses.slice(0, 3)));
    expect(result.merge!.adapterVsBase).toBeGreaterThan(1e-3);
    expect(events.map(({ type }) => type)).toEqual([
      "evaluation",
      ...new Array(4).fill("embedding"),
      "start",
      ...new Array(8).fill("step"),
      "evaluation",
    ]);
    for (const [name, { data }] of frozen) {
      const now = stateDict(sam);
      expect(now.get(name) ?? now.get(name.replace(/\.(weight|bias)$/, ".base_layer.$1"))).toMatchObject({ data });
    }
    expect(readdirSync(outDir).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors", "seg_lora.json"]);
    expect(JSON.parse(readFileSync(join(outDir, "seg_lora.json"), "utf8"))).toMatchObject({ seed: 0, steps: 8 });

    const { image, instances } = items[0]!;
    const boxes = instances.map(({ box }) => box);
    const expected = await predictInstanceMasks({ sam, image, boxes });
    const loaded = loadTeachers(join(scratch, "teachers"), { samBase: base });
    expect(loraLayers(loaded.sam!).size).toBe(0);
    const actual = await predictInstanceMasks({ sam: loaded.sam!, image, boxes });
    for (const [i, row] of expected.logits.entries()) {
      for (const [k, value] of row.entries()) expect(actual.logits[i]![k]).toBeCloseTo(value, 4);
    }
    loaded.sam!.dispose();

    const other = new Sam(micro, { seed: 1 });
    writeSafetensors(join(base, "model.safetensors"), stateDict(other), { metadata: { format: "pt" } });
    expect(() => loadTeachers(join(scratch, "teachers"), { samBase: base })).toThrow(
      expect.objectContaining({ code: "teachers/unavailable", teacher: "sam" }),
    );
    other.dispose();
    sam.dispose();
  });

  test("a disk cache changes no bit, and a damaged entry is computed again", async () => {
    const cacheDir = join(scratch, "cache");
    const train = async (settings: { cacheDir?: string }) => {
      const sam = new Sam(micro, { seed: 0 });
      let computed = 0;
      const { losses } = await fineTuneSam({
        ...options,
        ...settings,
        steps: 2,
        sam,
        onEvent: (e) => {
          if (e.type === "embedding" && e.computed) computed++;
        },
      });
      sam.dispose();
      return { losses, computed };
    };
    const plain = await train({});
    expect(await train({ cacheDir })).toEqual({ ...plain, computed: 4 });
    expect(await train({ cacheDir })).toEqual({ ...plain, computed: 0 });
    truncateSync(join(cacheDir, readdirSync(cacheDir)[0]!), 100);
    expect(await train({ cacheDir })).toEqual({ ...plain, computed: 1 });
  });

  test("needs masks, and stops when asked", async () => {
    const sam = new Sam(micro, { seed: 0 });
    const boxesOnly = items.map(({ image, instances }) => ({
      image,
      instances: instances.map(({ classId, box }) => ({ classId, box })),
    }));
    await expect(fineTuneSam({ ...options, sam, items: boxesOnly })).rejects.toMatchObject({
      code: "teachers/no-trainable-data",
    });
    await expect(fineTuneSam({ ...options, sam, signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
    sam.dispose();
  });
});

describe("a run that is cut off", () => {
  const settings = { ...options, validation: items, evaluateEvery: 2, checkpointEvery: 3 };
  const bytes = (dir: string) => readFileSync(join(dir, "adapter_model.safetensors")).toString("base64");

  /** Aborts when `stopAt` steps are done; leaves what a killed process leaves. */
  async function train(outDir: string, extra: { resume?: boolean; stopAt?: number; seed?: number } = {}) {
    const { stopAt, ...rest } = extra;
    const stop = new AbortController();
    const sam = new Sam(micro, { seed: 0 });
    try {
      return await fineTuneSam({
        ...settings,
        ...rest,
        sam,
        outDir,
        signal: stop.signal,
        onEvent: (event) => {
          if (event.type === "step" && event.step === stopAt) stop.abort();
        },
      });
    } finally {
      sam.dispose();
    }
  }

  test.each(["cpu", "onnxruntime"])("goes on and ends with the same bytes on %s", async (backend) => {
    await tf.setBackend(backend);
    try {
      const whole = await train(join(scratch, `whole-${backend}`));
      const dir = join(scratch, `cut-${backend}`);
      await expect(train(dir, { stopAt: 5 })).rejects.toMatchObject({ name: "AbortError" });
      expect(readdirSync(dir).sort()).toEqual(["best", "checkpoint.safetensors", "last"]);
      const resumed = await train(dir, { resume: true });
      expect(resumed.losses).toEqual(whole.losses);
      expect(resumed.after).toEqual(whole.after);
      expect(resumed.keptStep).toBe(whole.keptStep);
      expect(bytes(dir)).toBe(bytes(join(scratch, `whole-${backend}`)));
      expect(bytes(join(dir, "last"))).toBe(bytes(join(scratch, `whole-${backend}`, "last")));
      expect(readdirSync(dir)).not.toContain("checkpoint.safetensors");
    } finally {
      await tf.setBackend("cpu");
    }
  });

  test("is not continued with other settings", async () => {
    const dir = join(scratch, "other");
    await expect(train(dir, { stopAt: 1 })).rejects.toMatchObject({ name: "AbortError" });
    await expect(train(dir, { resume: true, seed: 1 })).rejects.toMatchObject({
      code: "train/resume-mismatch",
      differences: [{ key: "seed", saved: 0, current: 1 }],
    });
  });
});

test("without gains the run stops, and the best adapter is what it ends with", async () => {
  const sam = new Sam(micro, { seed: 0 });
  const result = await fineTuneSam({
    ...options,
    sam,
    validation: items,
    evaluateEvery: 1,
    patience: 2,
    minDelta: 1,
    outDir: join(scratch, "early"),
  });
  // The first evaluation gains from nothing, the next two less than 1.
  expect(result).toMatchObject({ steps: 3, stoppedEarly: true });
  const record = JSON.parse(readFileSync(join(scratch, "early", "seg_lora.json"), "utf8"));
  expect(record).toMatchObject({ steps: 3, keptStep: result.keptStep, stoppedEarly: true });
  expect(readFileSync(join(scratch, "early", "adapter_model.safetensors"))).toEqual(
    readFileSync(join(scratch, "early", "best", "adapter_model.safetensors")),
  );
  const again = await evaluateSam({ sam, items });
  expect(again).toEqual(result.after);
  sam.dispose();
});

test("a loss that is not finite ends the run with the step, and no adapter is written", async () => {
  const sam = new Sam(micro, { seed: 0 });
  const outDir = join(scratch, "nan");
  await expect(fineTuneSam({ ...options, sam, lr: 1e38, outDir })).rejects.toMatchObject({
    code: "teachers/non-finite-loss",
    step: expect.any(Number),
  });
  expect(existsSync(outDir)).toBe(false);
  sam.dispose();
});

test("instances without a box are prompted with the box of their mask", async () => {
  const sam = new Sam(micro, { seed: 0 });
  const masksOnly = items.map(({ image, instances }) => ({
    image,
    instances: instances.map(({ classId, mask }) => ({ classId, mask: mask!, box: [0, 0, 0, 0] as const })),
  }));
  expect(await evaluateSam({ sam, items: masksOnly })).toEqual(await evaluateSam({ sam, items }));
  sam.dispose();
});

describe("augmentation", () => {
  /** Darker copies: the same instances. */
  const augment = (item: SamItem, random: CounterRandom): SamItem => {
    const gain = random.uniform(0.5, 1);
    return { ...item, image: { ...item.image, data: item.image.data.map((v) => Math.round(v * gain)) } };
  };

  test("a fixed number of views is drawn and encoded once", async () => {
    const sam = new Sam(micro, { seed: 0 });
    const events: SamFineTuneEvent[] = [];
    await fineTuneSam({ ...options, sam, augment, cacheViews: 3, onEvent: (e) => events.push(e) });
    expect(events.filter(({ type }) => type === "embedding")).toHaveLength(2 * 3 * items.length);
    expect(events.some(({ type }) => type === "notice")).toBe(false);
    sam.dispose();
  });

  test("without it the cache is off, and that is said", async () => {
    const sam = new Sam(micro, { seed: 0 });
    const events: SamFineTuneEvent[] = [];
    await fineTuneSam({ ...options, steps: 2, sam, augment, onEvent: (e) => events.push(e) });
    expect(events.filter(({ type }) => type === "embedding")).toHaveLength(0);
    expect(events.find(({ type }) => type === "notice")).toMatchObject({
      message: expect.stringContaining("cacheViews"),
    });
    sam.dispose();
  });
});

describe("evaluateSam", () => {
  test("reports both trivial baselines beside the mask IoU, per class and in print", async () => {
    const sam = new Sam(micro, { seed: 0 });
    const evaluation = await evaluateSam({ sam, items });
    const total = items.reduce((sum, { instances }) => sum + instances.length, 0);
    expect(evaluation.instances).toBe(total);
    expect(evaluation.perClass.reduce((sum, { count }) => sum + count, 0)).toBe(total);
    expect(evaluation.bySize.reduce((sum, { count }) => sum + count, 0)).toBe(total);
    expect(evaluation.baselines.filledBox).toBeGreaterThan(0.3);
    expect(evaluation.baselines.ellipse).toBeGreaterThan(0.3);
    expect(formatSamEvaluation(evaluation, ["circle"])).toMatch(
      /^all .*IoU 0\.\d{3} {2}filled box 0\.\d{3} {2}ellipse 0\./,
    );
    sam.dispose();
  });
});

describe("predictInstanceMasks", () => {
  test("no boxes, three boxes, and a mask per box independent of its neighbours", async () => {
    const sam = new Sam(micro, { seed: 0 });
    const { image } = items[0]!;
    const boxes = [
      [1, 1, 20, 20],
      [5, 9, 30, 31],
      [0, 0, 32, 32],
    ] as const;
    expect(await predictInstanceMasks({ sam, image, boxes: [] })).toMatchObject({ logits: [], iou: [], side: 16 });
    const all = await predictInstanceMasks({ sam, image, boxes });
    expect(all.logits).toHaveLength(3);
    const single = await predictInstanceMasks({ sam, image, boxes: [boxes[1]] });
    for (const [k, value] of single.logits[0]!.entries()) expect(all.logits[1]![k]).toBeCloseTo(value, 4);
    const best = await predictInstanceMasks({ sam, image, boxes, multimask: true });
    expect(best.iou).toHaveLength(3);
    sam.dispose();
  });
});
