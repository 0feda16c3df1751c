import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadAdapter } from "@seg/lora";
import { weightsHash } from "@seg/nn";
import { configure } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { splitPhrases } from "../batch-predictor.js";
import { GroundingDino } from "../grounding-dino.js";
import { evaluateGroundingDino, formatDetectorEvaluation } from "./evaluate.js";
import { type DetectorFineTuneEvent, type DetectorFineTuneOptions, fineTuneGroundingDino } from "./fine-tune.js";
import { smallCase } from "./small-case.js";

const folder = mkdtempSync(join(tmpdir(), "seg-detector-"));
beforeAll(async () => {
  configure({ threads: 1 });
  await tf.setBackend("onnxruntime");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const { config, phrases, encode, item, items, size } = smallCase();
const tune = (name: string, extra: Partial<DetectorFineTuneOptions> = {}) => {
  const model = extra.model ?? new GroundingDino(config, { seed: 0 });
  const lora = {
    r: 1,
    loraAlpha: 2,
    targetModules: ["model.decoder.layers.*.self_attn.value", "model.decoder.layers.*.fc1"],
  };
  return fineTuneGroundingDino({
    model,
    items,
    phrases,
    encode,
    size,
    lora,
    batch: 2,
    epochs: 2,
    validation: items.slice(0, 2),
    evaluationInterval: 1,
    seed: 3,
    outDir: join(folder, name),
    ...extra,
  });
};

describe("fineTuneGroundingDino", () => {
  test("trains adapters on a frozen base, reports both metrics and writes a loadable adapter", async () => {
    const model = new GroundingDino(config, { seed: 0 });
    const before = weightsHash(model);
    const events: DetectorFineTuneEvent[] = [];
    const result = await tune("plain", { model, onEvent: (event) => events.push(event) });
    expect(result.reason).toBe("completed");
    expect(result.steps).toBe(4);
    expect(result.before!.instances).toBe(result.after!.instances);
    expect(result.merge!.adapterVsBase).toBeGreaterThan(0);
    const start = events.find((event) => event.type === "start")!;
    expect(start).toMatchObject({ steps: 4, skippedInstances: 0 });
    const evaluations = events.filter((event) => event.type === "train" && event.event.type === "eval");
    expect(evaluations).toHaveLength(2);
    // The frozen base keeps its bytes.
    const fresh = new GroundingDino(config, { seed: 0 });
    const frozen = new Map([...model.namedParameters()].filter(([name]) => !name.includes("lora_")));
    const reference = fresh.namedParameters();
    for (const [name, parameter] of frozen) {
      expect([name, parameter.data()]).toEqual([name, reference.get(name.replace(".base_layer", ""))!.data()]);
    }
    loadAdapter(fresh, join(folder, "plain"));
    const loaded = fresh.namedParameters();
    for (const [name, parameter] of model.namedParameters()) expect(loaded.get(name)!.data()).toEqual(parameter.data());
    const record = JSON.parse(readFileSync(join(folder, "plain/seg_lora.json"), "utf8"));
    expect(record.base).toEqual({ kind: "grounding-dino", sha256: before });
    expect(readFileSync(join(folder, "plain/run/results.csv"), "utf8").split("\n")[0]).toContain("metrics/mAP50(B)");
    model.dispose();
    fresh.dispose();
  });

  test("a killed run resumes to the same bytes", async () => {
    const stop = new AbortController();
    const kill = tune("killed", {
      signal: stop.signal,
      onEvent: (event) => {
        if (event.type === "train" && event.event.type === "step" && event.event.step === 3) stop.abort();
      },
    });
    await expect(kill).rejects.toThrow(/abort/i);
    const resumed = await tune("killed", { resume: true });
    expect(resumed.steps).toBe(4);
    for (const file of ["adapter_model.safetensors", "last/adapter_model.safetensors"]) {
      const read = (name: string) => readFileSync(join(folder, name, file));
      expect(read("killed").equals(read("plain"))).toBe(true);
    }
  });

  test("pictures of different sizes share a padded canvas", async () => {
    const mixed = [item(5), item(6, 48)].map(({ image, instances }, i) =>
      i === 0
        ? { image, instances }
        : { image: { ...image, height: 24, data: image.data.slice(0, 48 * 24 * 3) }, instances: [] },
    );
    const result = await tune("mixed", { items: mixed, epochs: 1, validation: mixed, evaluationInterval: 1 });
    expect(result.steps).toBe(1);
  });

  test("refuses data without a usable box, and names a loss that is not finite", async () => {
    const empty = items.map(({ image }) => ({ image, instances: [] }));
    await expect(tune("empty", { items: empty })).rejects.toMatchObject({ code: "teachers/no-trainable-data" });
    const unknown = [{ image: items[0]!.image, instances: [{ classId: 2, box: [4, 4, 40, 40] as const }] }];
    await expect(tune("phraseless", { items: unknown })).rejects.toMatchObject({
      code: "teachers/class-name",
      index: 2,
    });
    expect(existsSync(join(folder, "phraseless"))).toBe(false);
    const flat = [{ image: items[0]!.image, instances: [{ classId: 0, box: [4, 4, 4.5, 4.5] as const }] }];
    await expect(tune("flat", { items: flat })).rejects.toMatchObject({
      code: "teachers/no-trainable-data",
      instances: 1,
    });
    const model = new GroundingDino(config, { seed: 0 });
    const norm = model.namedParameters().get("model.decoder.layer_norm.weight")!;
    norm.assign(new Float32Array(norm.size).fill(Number.NaN));
    await expect(
      fineTuneGroundingDino({
        model,
        items,
        phrases,
        encode,
        size,
        lora: { r: 1, targetModules: ["model.decoder.layers.*.fc1"] },
        batch: 2,
        epochs: 1,
        outDir: join(folder, "nan"),
      }),
    ).rejects.toMatchObject({ code: "teachers/non-finite-loss", step: 0 });
  });
});

describe("evaluateGroundingDino", () => {
  test("scores every class that has objects, and refuses images without any", async () => {
    const model = new GroundingDino(config, { seed: 2 });
    const one = await evaluateGroundingDino({ model, items, phrases, encode, size });
    expect(one.perClass.map(({ classId }) => classId)).toEqual([0, 1]);
    expect(one.mAP50).toBeGreaterThanOrEqual(0);
    expect(formatDetectorEvaluation(one, ["round", "edgy"]).split("\n")).toHaveLength(3);
    await expect(
      evaluateGroundingDino({
        model,
        items: items.map(({ image }) => ({ image, instances: [] })),
        phrases,
        encode,
        size,
      }),
    ).rejects.toMatchObject({ code: "teachers/no-trainable-data" });
    model.dispose();
  });
});

describe("splitPhrases", () => {
  test("keeps the order and fills captions up to the limit", () => {
    expect(splitPhrases(["a b", "c", "d e f"], encode, 8)).toEqual([["a b", "c"], ["d e f"]]);
    expect(splitPhrases([], encode, 8)).toEqual([]);
    expect(() => splitPhrases(["a b c d"], encode, 6)).toThrow(
      expect.objectContaining({ code: "teachers/prompt-too-long", tokens: 7 }),
    );
  });
});

describe("fineTuneGroundingDino on a quantised base", () => {
  test("trains an ordinary adapter, which fits the original base", async () => {
    const events: DetectorFineTuneEvent[] = [];
    const result = await tune("qlora", {
      method: "qlora",
      epochs: 1,
      validation: items.slice(0, 1),
      lora: { r: 1, targetModules: ["model.decoder.layers.*.fc1"] },
      onEvent: (event) => events.push(event),
    });
    expect(result.merge).toBe(null);
    expect(events.find((event) => event.type === "notice")).toMatchObject({
      message: expect.stringMatching(/bits a weight/),
    });
    const start = events.find((event) => event.type === "start")!;
    const original = new GroundingDino(config, { seed: 0 });
    const size = [...original.namedParameters().values()].reduce((sum, parameter) => sum + parameter.size, 0);
    expect(start).toMatchObject({ frozen: size });
    loadAdapter(original, join(folder, "qlora"));
    original.dispose();
  });
});
