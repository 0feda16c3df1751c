import { mkdtempSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configure } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DetectorSource } from "./detector-source.js";
import { FeatureCache } from "./feature-cache.js";
import { type DetectorFineTuneEvent, type DetectorFineTuneOptions, fineTuneGroundingDino } from "./fine-tune.js";
import { smallCase } from "./small-case.js";
import { SplitNetwork } from "./split-network.js";

const folder = mkdtempSync(join(tmpdir(), "seg-features-"));
beforeAll(async () => {
  configure({ threads: 1 });
  await tf.setBackend("onnxruntime");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each([
  ["encoder", "model.decoder.layers.0.fc1.weight"],
  ["backbone", "model.encoder.layers.0.deformable_layer.fc1.weight"],
])("FeatureCache behind the %s", (cut, trained) => {
  test("gives what the frozen part gives, from memory and disk bit for bit; damage is computed again", async () => {
    const { model, items, phrases, encode, size } = smallCase();
    const settings = { items, phrases, encode, size, maxTextLength: 16, batch: 4, seed: 0, augmentation: null };
    const source = new DetectorSource({ ...settings, cacheViews: 1 });
    const parameters = new Map([[trained, model.namedParameters().get(trained)!]]);
    const network = new SplitNetwork({ model, canvas: source.canvas, parameters, encoder: false, dense: false });
    expect(network.frozen).toBe(cut);
    const values = (inputs: Record<string, tf.Tensor>) => {
      const entries = Object.entries(inputs).map(([name, t]) => [name, Float32Array.from(t.dataSync())] as const);
      tf.dispose(inputs);
      return Object.fromEntries(entries);
    };
    const inputs = () => source.batch(1, 0).inputs;
    const plain = values({ ...network.freeze(inputs()) });
    const directory = join(folder, cut);
    const frozen = async (dtype: "F32" | "F16", weights = "w") => {
      const cache = new FeatureCache({ network, weights, directory, dtype });
      const before = tf.memory().numTensors;
      const { inputs: given, computed } = await cache.freeze(inputs());
      const result = { values: values({ ...given }), computed };
      expect(tf.memory().numTensors).toBe(before);
      return result;
    };
    const first = await frozen("F32");
    expect(first.computed).toBe(4);
    expect(Object.keys(first.values).sort()).toEqual(Object.keys(plain).sort());
    // One image at a time instead of four: products are summed in another order.
    for (const [name, row] of Object.entries(plain)) {
      const scale = row.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
      for (const [i, value] of row.entries())
        expect(Math.abs(first.values[name]![i]! - value)).toBeLessThan(1e-5 * scale);
    }
    expect(await frozen("F32")).toEqual({ ...first, computed: 0 });
    truncateSync(join(directory, readdirSync(directory)[0]!), 60);
    expect(await frozen("F32")).toEqual({ ...first, computed: 1 });
    const halves = await frozen("F16");
    expect(halves.computed).toBe(4);
    expect(await frozen("F16")).toEqual({ ...halves, computed: 0 });
    for (const [name, row] of Object.entries(first.values)) {
      for (const [i, value] of row.entries()) {
        // 2^-11 of the value; below 2^-14 half precision has a fixed step.
        expect(Math.abs(halves.values[name]![i]! - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -11 + 2 ** -25);
      }
    }
    expect((await frozen("F32", "other weights")).computed).toBe(4);
    network.dispose();
    model.dispose();
  });
});

describe("fineTuneGroundingDino", () => {
  async function tune(name: string, extra: Partial<DetectorFineTuneOptions>) {
    const { model, items, phrases, encode, size } = smallCase();
    const notices: string[] = [];
    await fineTuneGroundingDino({
      ...{ model, items, phrases, encode, size, batch: 2, seed: 3, preset: "decoder-self", maxTrainableRatio: 1 },
      ...{ lora: { r: 1 }, outDir: join(folder, name), cacheDir: join(folder, `${name}-cache`) },
      onEvent: (event: DetectorFineTuneEvent) => event.type === "notice" && notices.push(event.message),
      ...extra,
    });
    model.dispose();
    return notices;
  }

  test("new views with every draw are not cached, and that is said", async () => {
    expect(await tune("fresh", { epochs: 1 })).toEqual([
      expect.stringContaining("features of the frozen encoder are not cached"),
    ]);
  });

  test("fixed views are, two of each of the four images", async () => {
    expect(await tune("views", { epochs: 3, cacheViews: 2 })).toEqual([]);
    expect(readdirSync(join(folder, "views-cache")).length).toBe(8);
  });
});
