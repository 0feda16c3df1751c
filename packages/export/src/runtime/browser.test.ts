import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { CounterRandom } from "@seg/augment";
import { prepareYolo } from "@seg/preprocess";
import { letterboxInput } from "@seg/preprocess/letterbox";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { yoloGraph } from "../../test/yolo-graph.js";
import { exportOnnx } from "../export-onnx.js";
import { createDetector as createInBrowser } from "./browser.js";
import { createDetector } from "./detector.js";
import type { OrtRuntime } from "./ort-session.js";

const random = new CounterRandom({ seed: 4, path: "browser" });
const image = { width: 90, height: 50, data: Uint8Array.from({ length: 90 * 50 * 3 }, () => random.integer(0, 255)) };
const PREPROCESS = resolve(import.meta.dirname, "../../../preprocess/src/letterbox-input.ts");

/** Modules that a source file loads at run time, types left out. */
function imports(file: string): string[] {
  const source = readFileSync(file, "utf8").replaceAll(/\/\*[\s\S]*?\*\//g, "");
  const loads = source.matchAll(/(?:^|\n)(?:import|export)\s+(type\s)?[^;]*?from\s+"([^"]+)"/g);
  return [...loads].filter(([, isType]) => isType === undefined).map(([, , specifier]) => specifier!);
}

describe("the runtime for browsers", () => {
  test("loads nothing but itself: no Node module, no decoder, no runtime, no tensor library", () => {
    const open = [join(import.meta.dirname, "browser.ts")];
    const seen = new Set<string>();
    const packages = new Set<string>();
    for (let file = open.pop(); file !== undefined; file = open.pop()) {
      if (seen.has(file)) continue;
      seen.add(file);
      for (const specifier of imports(file)) {
        if (specifier === "@seg/preprocess/letterbox") open.push(PREPROCESS);
        else if (specifier.startsWith(".")) open.push(resolve(dirname(file), specifier.replace(/\.js$/, ".ts")));
        else packages.add(specifier);
      }
    }
    expect([...packages]).toEqual([]);
    expect([...seen].every(existsSync)).toBe(true);
    expect(seen.size).toBeGreaterThan(12);
    const text = [...seen].map((file) => readFileSync(file, "utf8")).join("");
    expect(text).not.toMatch(/\bBuffer\.|\bprocess\./);
  });

  test("letterboxes to the same pixels and detects the same as the one for Node", async () => {
    const size = { width: 64, height: 64 };
    const [own, reference] = [letterboxInput(image, size), prepareYolo(image, { size })];
    expect(own.data).toEqual(reference.data);
    expect(reference.geometry).toMatchObject(own.geometry);
    const classes = { classes: ["a", "b", "c"].map((name, index) => ({ index, categoryId: index + 1, name })) };
    const options = { imgsz: 64, task: "segment", classes, author: "Test", license: "Apache-2.0" } as const;
    const { bytes } = await exportOnnx({ ...options, trace: yoloGraph({ imgsz: 64 }) });
    const detectors = [
      await createDetector({ model: bytes }),
      await createInBrowser({ model: bytes, ort: ort as unknown as OrtRuntime, classes }),
    ];
    const [a, b] = await Promise.all(detectors.map((detector) => detector.predict(image, { confidence: 0.3 })));
    expect(b!.boxes).toEqual(a!.boxes);
    expect(b!.masks).toEqual(a!.masks);
    expect(a!.scores.length).toBeGreaterThan(0);
    for (const detector of detectors) await detector.dispose();
  });
});
