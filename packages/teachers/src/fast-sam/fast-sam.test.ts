import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mask as maskAlgebra } from "@seg/coco-dataset";
import { createYolov8, stateDict, writeSafetensors } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { afterAll, describe, expect, test } from "vitest";
import { decodeOutputs } from "../../../export/src/runtime/index.js";
import { FastSam } from "./fast-sam.js";
import { loadFastSam } from "./load.js";

const scratch = mkdtempSync(join(tmpdir(), "seg-fast-sam-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const image = { width: 20, height: 10, data: new Uint8Array(600) };

/** A mask that fills a rectangle of whole pixels. */
const filled = (x1: number, y1: number, x2: number, y2: number) => {
  const bitmap = new Uint8Array(200);
  for (let y = y1; y < y2; y++) for (let x = x1; x < x2; x++) bitmap[y * 20 + x] = 1;
  return maskAlgebra.encode(bitmap, 10, 20);
};

describe("FastSam", () => {
  const network = async () => ({
    boxes: Float32Array.of(2, 2, 8, 8, 0.2, 0.1, 19.9, 9.8, 10, 0, 20, 10),
    scores: Float32Array.of(0.9, 0.8, 0.7),
    masks: [filled(2, 2, 8, 8), filled(0, 0, 20, 10), filled(10, 0, 20, 10)],
  });
  const teacher = new FastSam({ network });

  test("a box prompt takes the object whose mask overlaps it best", async () => {
    const [small, half, whole] = await teacher.predict(image, [
      [2, 2, 8, 7],
      [11, 0, 20, 10],
      [0, 0, 20, 10],
    ]);
    expect(small).toMatchObject({ box: [2, 2, 8, 8], promptIou: 30 / 36 });
    expect(small!.score).toBeCloseTo(0.9, 6);
    expect(half).toMatchObject({ box: [10, 0, 20, 10], promptIou: 0.9 });
    // Detected as .985 of the picture: snapped to it.
    expect(whole).toMatchObject({ box: [0, 0, 20, 10], promptIou: 1 });
  });

  test("no object, no prompt, no overlap", async () => {
    const empty = new FastSam({
      network: async () => ({ boxes: new Float32Array(0), scores: new Float32Array(0), masks: [] }),
    });
    expect(await empty.predict(image, [[0, 0, 5, 5]])).toEqual([null]);
    expect(await teacher.predict(image, [])).toEqual([]);
    const far = new FastSam({
      network: async () => ({
        boxes: Float32Array.of(0, 0, 3, 3),
        scores: Float32Array.of(1),
        masks: [filled(0, 0, 3, 3)],
      }),
    });
    expect(await far.predict(image, [[10, 5, 15, 9]])).toEqual([null]);
  });
});

describe("loadFastSam", () => {
  test("builds the size that the file has and runs it", async () => {
    await tf.setBackend("onnxruntime");
    const net = createYolov8({ scale: "p", classes: 1, segment: true, seed: 2 });
    const file = join(scratch, "fast.safetensors");
    writeSafetensors(file, stateDict(net));
    net.dispose();
    const { teacher, dispose } = loadFastSam({ file, decode: decodeOutputs, imgsz: 64, confidence: 0.0001 });
    const found = await teacher.segmentEverything(image);
    expect(found.scores.length).toBeGreaterThan(0);
    expect(found.masks).toHaveLength(found.scores.length);
    for (const mask of found.masks) expect(mask.size).toEqual([10, 20]);
    dispose();
  });

  test("refuses other networks and absent files by name", () => {
    const refuse = (file: string) =>
      expect(() => loadFastSam({ file, decode: decodeOutputs })).toThrow(
        expect.objectContaining({ code: "teachers/unavailable", teacher: "fastsam" }),
      );
    refuse(join(scratch, "absent.pt"));
    const detector = createYolov8({ scale: "p", classes: 1, segment: false, seed: 0 });
    const file = join(scratch, "detector.safetensors");
    writeSafetensors(file, stateDict(detector));
    refuse(file);
    writeSafetensors(file, new Map([["weight", { dtype: "F32" as const, shape: [1], data: Float32Array.of(1) }]]));
    refuse(file);
    detector.dispose();
  });
});
