import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stateDict, writeSafetensors } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadTeachers } from "../load-teachers.js";
import { sceneItem } from "../synthetic/scene-item.js";
import { shapeScene } from "../synthetic/shape-world.js";
import { parseSamConfig, samConfigJson } from "./config.js";
import { evaluateSam } from "./evaluate.js";
import { fineTuneSam, type SamFineTuneEvent } from "./fine-tune.js";
import { Sam } from "./sam.js";

const scratch = mkdtempSync(join(tmpdir(), "seg-sam-methods-"));
beforeAll(async () => {
  await tf.setBackend("onnxruntime");
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Wide enough for MLP weights of 4,096 elements, the least that is quantised. */
const config = parseSamConfig({
  vision_config: {
    hidden_size: 16,
    output_channels: 32,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    image_size: 32,
    patch_size: 8,
    window_size: 0,
    num_pos_feats: 16,
    mlp_dim: 16,
  },
  prompt_encoder_config: { hidden_size: 32, mask_input_channels: 8 },
  mask_decoder_config: { hidden_size: 32, mlp_dim: 128, num_attention_heads: 2, iou_head_hidden_dim: 16 },
});
const items = Array.from({ length: 8 }, (_, index) => shapeScene({ seed: 2, split: "train", index, side: 32 }))
  .filter(({ instances }) => instances.length >= 2)
  .slice(0, 2)
  .map((scene) => sceneItem(scene, ["circle", "blob"]));
const options = { items, validation: items, batch: 2, prompts: 2, steps: 3, maxTrainableRatio: 1, lora: { r: 2 } };

const train = async (extra: Partial<Parameters<typeof fineTuneSam>[0]>) => {
  const sam = new Sam(config, { seed: 0 });
  const before = stateDict(sam);
  const events: SamFineTuneEvent[] = [];
  const result = await fineTuneSam({ ...options, sam, ...extra, onEvent: (event) => events.push(event) });
  return { sam, before, events, result };
};

describe("methods of fineTuneSam", () => {
  test("qlora: codes while training, an ordinary adapter that goes onto the original base", async () => {
    const outDir = join(scratch, "q", "sam_lora");
    const { sam, before, events, result } = await train({ method: "qlora", outDir });
    expect(result.merge).toBeNull();
    expect(events).toContainEqual({ type: "notice", message: expect.stringContaining("4.50 bits a weight") });
    const base = join(scratch, "base");
    writeSafetensors(join(base, "model.safetensors"), before, { metadata: { format: "pt" } });
    writeFileSync(join(base, "config.json"), JSON.stringify(samConfigJson(config)));
    const loaded = loadTeachers(join(scratch, "q"), { samBase: base });
    const merged = await evaluateSam({ sam: loaded.sam!, items });
    expect(merged.instances).toBe(result.after!.instances);
    expect(Math.abs(merged.meanIou - result.after!.meanIou)).toBeLessThan(0.1);
    loaded.sam!.dispose();
    sam.dispose();
  });

  test("full: every weight from pixels, the encoder too; what is saved loads and scores the same", async () => {
    const outDir = join(scratch, "full");
    const { sam, before, events, result } = await train({ method: "full", outDir, lr: 1e-2 });
    expect([result.handle, result.merge]).toEqual([null, null]);
    expect(events.some(({ type }) => type === "embedding")).toBe(false);
    expect(events.find(({ type }) => type === "start")).toMatchObject({ frozen: 0 });
    const after = stateDict(sam);
    for (const name of ["vision_encoder.patch_embed.projection.weight", "mask_decoder.upscale_conv1.weight"]) {
      expect(after.get(name)!.data).not.toEqual(before.get(name)!.data);
    }
    expect(readdirSync(outDir).sort()).toEqual(["config.json", "model.safetensors", "seg_lora.json"]);
    const loaded = Sam.fromPretrained(outDir);
    expect((await evaluateSam({ sam: loaded, items })).meanIou).toBeCloseTo(result.after!.meanIou, 6);
    loaded.dispose();
    sam.dispose();
  });

  test("full: a run that is cut off ends with the same weights", async () => {
    const whole = await train({ method: "full" });
    const outDir = join(scratch, "cut");
    const stop = new AbortController();
    const sam = new Sam(config, { seed: 0 });
    const cut = fineTuneSam({
      ...{ ...options, sam, method: "full", outDir, signal: stop.signal },
      onEvent: (event) => event.type === "step" && event.step === 2 && stop.abort(),
    });
    await expect(cut).rejects.toMatchObject({ name: "AbortError" });
    sam.dispose();
    const resumed = await train({ method: "full", outDir, resume: true });
    expect(resumed.result.losses).toEqual(whole.result.losses);
    expect(stateDict(resumed.sam)).toEqual(stateDict(whole.sam));
    for (const each of [whole.sam, resumed.sam]) each.dispose();
  });

  test("adapters in the encoder train from pixels", async () => {
    const { sam, events, result } = await train({ preset: "encoder-qkv" });
    expect(result.handle!.targets.map(({ path }) => path)).toEqual(["vision_encoder.layers.0.attn.qkv"]);
    expect(events).toContainEqual({ type: "notice", message: expect.stringContaining("The encoder trains") });
    expect(result.merge!.adapterVsBase).toBeGreaterThan(0);
    sam.dispose();
  });
});
