import { describe, expect, test } from "vitest";
import { defaultConfig, loadConfig, type PreprocessConfigInput, parseConfig } from "./config.js";
import { configHash } from "./config-hash.js";
import { createPreprocessor } from "./create-preprocessor.js";
import { PreprocessConfigError, PreprocessError } from "./errors.js";
import { MODEL_KEYS, type ModelKey } from "./models.js";
import { fromSpecJson, toSpecJson } from "./spec-json.js";

/** The file of the specification, section 3. */
const SPEC_YAML = `
version: 1
decode: {orientation: match-annotations, cmyk: managed, sixteenBit: shift, maxPixels: 268435456}
runtime: {workers: auto, resampler: exact, output: float32}
models:
  grounding_dino: {shortestEdge: 800, longestEdge: 1333, variant: hf, padMultiple: 1,
                   mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
  sam: {imageSize: 1024, mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375]}
  sam2: {imageSize: 1024}
  yolov8_seg: {imageSize: 640, mode: square, stride: 32, scaleup: true, center: true, padValue: 114}
`;

const issuesOf = (yaml: string) => {
  try {
    loadConfig(yaml);
  } catch (error) {
    if (PreprocessConfigError.isInstance(error)) return error.issues.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  return [];
};

describe("loadConfig", () => {
  test("the file of the specification states the defaults", () => {
    const loaded = loadConfig(SPEC_YAML);
    expect(loaded).toEqual(defaultConfig(["grounding_dino", "sam", "sam2", "yolov8_seg"]));
    expect(loaded.models.sam2?.mean).toEqual([0.485, 0.456, 0.406]);
    expect(loadConfig("").runtime).toEqual({ workers: "auto", resampler: "exact", output: "float32" });
    expect(defaultConfig(["fastsam_s"]).models.fastsam_s?.imageSize).toBe(1024);
  });

  test.each([
    [
      "models: {yolov8_seg: {imagesize: 640}}",
      'models.yolov8_seg.imagesize: unknown key "imagesize"; did you mean "imageSize"?',
    ],
    ["models: {yolo8_seg: {}}", 'models.yolo8_seg: unknown key "yolo8_seg"; did you mean "yolov8_seg"?'],
    ["decoder: {}", 'decoder: unknown key "decoder"; did you mean "decode"?'],
    ["runtime: {worker: 2}", 'runtime.worker: unknown key "worker"; did you mean "workers"?'],
    ["decode: {sixteenbits: clip}", 'decode.sixteenbits: unknown key "sixteenbits"; did you mean "sixteenBit"?'],
    [
      "models: {grounding_dino: {fixedCanvas: {w: 1, width: 8, height: 8}}}",
      'models.grounding_dino.fixedCanvas.w: unknown key "w"; did you mean "width"?',
    ],
    [
      "models: {yolov8: {imageSize: 650}}",
      "models.yolov8.imageSize: 650 is no multiple of the stride 32; the next one is 672",
    ],
    [
      "models: {grounding_dino: {longestEdge: 700}}",
      "models.grounding_dino.longestEdge: must be at least shortestEdge",
    ],
  ])("%s", (yaml, expected) => {
    expect(issuesOf(yaml)).toEqual([expected]);
  });

  test.each([
    ["models: {sam: {std: [1, 0, 1]}}", "models.sam.std.1"],
    ["models: {sam: {imageSize: 8193}}", "models.sam.imageSize"],
    ["models: {sam: {imageSize: 0}}", "models.sam.imageSize"],
    ["models: {sam: {imageSize: 10.5}}", "models.sam.imageSize"],
    ["models: {yolov8: {mode: rectangular}}", "models.yolov8.mode"],
    ["models: {yolov8: {scaleFill: true, mode: rect}}", "models.yolov8.scaleFill"],
    ["version: 2", "version"],
    ["runtime: {workers: -1}", "runtime.workers"],
    ["decode: {orientation: sideways}", "decode.orientation"],
    ["runtime: {output: uint8}\nmodels: {sam2: {}}", "runtime.output"],
    ["- a list", ""],
  ])("%s is refused at %s", (yaml, path) => {
    const issues = issuesOf(yaml);
    expect(issues.length).toBe(1);
    expect(issues[0]!.startsWith(`${path}: `)).toBe(true);
  });

  test("reports faulty YAML with its line, and every fault of a file at once", () => {
    expect(issuesOf("models: {sam: {")[0]).toMatch(/line 1/);
    expect(issuesOf("models: {sam: {a: 1}, sam: {}}")[0]).toMatch(/unique/);
    expect(issuesOf("verson: 1\nmodels: {sam: {imageSize: -1}, sam2: {size: 3}}").length).toBe(3);
    expect(() => loadConfig("x: 1", { source: "preprocess.yaml" })).toThrowError(
      expect.objectContaining({
        code: "config_invalid",
        message: expect.stringMatching(/^preprocess\.yaml is invalid/),
      }),
    );
  });

  test("its error is a PreprocessError", () => {
    try {
      loadConfig("x: 1");
      expect.unreachable();
    } catch (error) {
      expect(PreprocessError.isInstance(error)).toBe(true);
    }
  });
});

describe("configHash", () => {
  test("does not see key order and comments, but every value", () => {
    const a = loadConfig("models: {sam: {imageSize: 512}, yolov8: {stride: 32, imageSize: 640}}");
    const b = loadConfig("# comment\nmodels:\n  yolov8: {imageSize: 640, stride: 32}\n  sam:\n    imageSize: 512\n");
    expect(configHash(a)).toBe(configHash(b));
    expect(configHash(a)).not.toBe(configHash(loadConfig("models: {sam: {imageSize: 513}, yolov8: {}}")));
    expect(configHash(a)).toMatch(/^[\da-f]{64}$/);
  });
  test("of a preprocessor leaves out the workers, and sees resampler and models", () => {
    const of = (models: readonly ModelKey[], runtime: PreprocessConfigInput["runtime"]) =>
      createPreprocessor(models, { config: { runtime: runtime! } }).configHash;
    expect(of(["sam"], { workers: 0 })).toBe(of(["sam"], { workers: 3 }));
    expect(of(["sam"], {})).not.toBe(of(["sam"], { resampler: "sharp-fast" }));
    expect(of(["sam"], {})).not.toBe(of(["mobile_sam"], {}));
  });
});

describe("preprocess.json", () => {
  test.each(MODEL_KEYS)("%s: the configuration survives the round trip through JSON", (model) => {
    const config = parseConfig({ models: { [model]: {} }, decode: { orientation: "ignore", sixteenBit: "clip" } });
    const spec = JSON.parse(JSON.stringify(toSpecJson(model, { config })));
    const rebuilt = fromSpecJson(spec);
    expect(rebuilt.model).toBe(model);
    expect(rebuilt.config).toEqual(config);
    expect(createPreprocessor({ spec }).configHash).toBe(createPreprocessor([model], { config }).configHash);
  });
  test("states what a runtime must do", () => {
    expect(toSpecJson("yolov8_seg")).toMatchObject({
      family: "yolo",
      inputName: "images",
      kernel: "cv2-linear",
      fit: "letterbox",
      pad: { mode: "centre", value: 114, when: "before-scale" },
      scale: 1 / 255,
      mean: null,
    });
    expect(toSpecJson("sam")).toMatchObject({
      kernel: "pillow-bilinear",
      fit: "longest-edge",
      pad: { mode: "bottom-right", value: 0, when: "after-normalise" },
      scale: 1,
      mean: [123.675, 116.28, 103.53],
    });
    expect(toSpecJson("yolov8", { config: { runtime: { output: "uint8" } } })).toMatchObject({
      dtype: "uint8",
      scale: 1,
    });
  });
  test("refuses a file that contradicts itself or has unknown fields", () => {
    const spec = toSpecJson("yolov8_seg");
    expect(() => fromSpecJson({ ...spec, kernel: "pillow-bilinear" })).toThrowError(
      expect.objectContaining({ issues: [{ path: "kernel", message: expect.stringContaining("cv2-linear") }] }),
    );
    expect(() => fromSpecJson({ ...spec, pad: { ...spec.pad, mode: "bottom-right" } })).toThrowError(
      expect.objectContaining({ issues: [{ path: "pad", message: expect.stringContaining("centre") }] }),
    );
    expect(() => fromSpecJson({ ...spec, colour: "RGB" })).toThrowError(PreprocessConfigError);
    expect(() => fromSpecJson({ ...spec, size: { imageSize: 33 } })).toThrowError(
      expect.objectContaining({ issues: [expect.objectContaining({ path: "models.yolov8_seg.imageSize" })] }),
    );
  });
});
