import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readSafetensors, type StateDict, stateDict } from "@seg/nn";
import { embeddingSide, Sam } from "@seg/teachers";
import type { TrainEvent } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import "@seg/tfjs-onnxruntime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { colourFeatures } from "../../../test/fake-teachers.js";
import { smallMobileSam } from "../../../test/small-mobile-sam.js";
import { writeSyntheticSet } from "../../../test/synthetic.js";
import type { FeatureTeacher } from "../../teacher/teachers.js";
import type { StudentData } from "../../train-config.js";
import { type DistillEncoderConfig, distillEncoder } from "./distill-encoder.js";
import { samEmbeddings } from "./sam-embeddings.js";

const SIZE = 64;
const config = smallMobileSam(SIZE);
let dir: string;
let data: StudentData;
let sam: Sam;
let teacher: FeatureTeacher;

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
  dir = mkdtempSync(join(tmpdir(), "seg-encoder-"));
  data = { dataset: await writeSyntheticSet({ dir, count: 4, side: SIZE, seed: 1 }), imagesDir: dir };
  sam = new Sam(config, { seed: 9 });
  sam.train(false);
  teacher = samEmbeddings({ sam, id: "small SAM", hash: "1" });
});
afterAll(() => {
  sam.dispose();
  rmSync(dir, { recursive: true, force: true });
});

async function run(name: string, more: Partial<DistillEncoderConfig> = {}, signal?: AbortSignal) {
  const events: TrainEvent[] = [];
  const directory = join(dir, name);
  const input = { data, teacher, weights: decoderOf(sam), cacheDir: join(dir, `${name}-cache`), directory, config };
  const settings = { imgsz: SIZE, epochs: 12, batch: 2, ...more };
  for await (const event of distillEncoder({ ...input, ...settings }, signal ? { signal } : {})) events.push(event);
  const weights = readSafetensors(join(directory, "weights", "encoder.safetensors")).toStateDict();
  const losses = events.flatMap((event) => (event.type === "epoch" ? [event.losses["embedding"]!] : []));
  return { events, weights, losses };
}
/** What a student starts from where its encoder is of another architecture than the teacher's. */
const decoderOf = (model: Sam): StateDict =>
  new Map([...stateDict(model)].filter(([key]) => !key.startsWith("vision_encoder.")));

describe("samEmbeddings", () => {
  test("is one map of stride 16 that lies where SAM puts the picture", async () => {
    const image = { width: 32, height: 16, data: new Uint8Array(3 * 32 * 16).fill(90) };
    const [map, ...others] = await teacher.features(image);
    expect(others).toEqual([]);
    const side = embeddingSide(config);
    expect(map).toMatchObject({ stride: 16, height: side, width: side, channels: 16 });
    // Twice as large, in the top left corner: 8 image pixels a cell.
    expect([...map!.toMap]).toEqual([1 / 8, 0, 0, 0, 1 / 8, 0]);
    expect(map!.data.length).toBe(side * side * 16);
  });
});

describe("distillEncoder", () => {
  test("the encoder comes close to the teacher's, the decoder stays the teacher's, byte for byte", async () => {
    const { weights, losses, events } = await run("fit");
    expect(losses).toHaveLength(12);
    expect(losses.at(-1)!).toBeLessThan(0.5 * losses[0]!);
    expect(events.at(-1)!.type).toBe("end");
    const before = stateDict(sam);
    const names = [...weights.keys()];
    expect(names.sort()).toEqual([...before.keys()].sort());
    for (const [key, { data: values }] of decoderOf(sam)) expect(weights.get(key)!.data, key).toEqual(values);
  });

  test("is repeatable, and goes on after an abort to the same bytes", async () => {
    const whole = await run("whole", { epochs: 3 });
    const stop = new AbortController();
    const directory = join(dir, "stopped");
    const input = { data, teacher, weights: decoderOf(sam), cacheDir: join(dir, "stopped-cache"), directory, config };
    const first = distillEncoder({ ...input, imgsz: SIZE, epochs: 3, batch: 2 }, { signal: stop.signal });
    for await (const event of first) if (event.type === "epoch") stop.abort();
    const { weights } = await run("stopped", { epochs: 3, resume: true });
    for (const [key, { data: values }] of whole.weights) expect(weights.get(key)!.data, key).toEqual(values);
  });

  test("names a teacher whose embeddings the decoder cannot read, and weights without a decoder", async () => {
    await expect(run("other", { teacher: colourFeatures(16) })).rejects.toMatchObject({
      ...{ code: "distill/config", field: "teacher", actual: 3 },
    });
    await expect(run("bare", { weights: new Map() })).rejects.toMatchObject({
      code: "distill/config",
      field: "weights",
    });
  });
});
