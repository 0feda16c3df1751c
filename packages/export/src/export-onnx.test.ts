import { generateKeyPairSync } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CounterRandom } from "@seg/augment";
import type { ClassMapping, RgbImage } from "@seg/coco-dataset";
import { DataType, encodeModel, GraphBuilder, type Model } from "@seg/onnx";
import { prepareYolo } from "@seg/preprocess";
import { afterAll, describe, expect, test } from "vitest";
import { yoloGraph } from "../test/yolo-graph.js";
import { ExportError } from "./errors.js";
import { exportOnnx } from "./export-onnx.js";
import { calibrate } from "./quantize/calibrate.js";
import { quantizeStatic } from "./quantize/quantize-static.js";
import { createDetector } from "./runtime/detector.js";
import { assertAccuracy } from "./verify/accuracy-gate.js";
import { checkCertificates, writeCertificates } from "./verify/certificate-file.js";
import { certifyPromptFree } from "./verify/prompt-free.js";
import { verifyExport } from "./verify/verify-export.js";
import { writeArtefacts } from "./write-artefacts.js";

const SIZE = 64;
const directory = mkdtempSync(join(tmpdir(), "seg-export-"));
afterAll(() => rmSync(directory, { recursive: true }));

const mapping = (...names: string[]): ClassMapping => ({
  classes: names.map((name, index) => ({ index, categoryId: 10 * index + 1, name })),
});
const classes = mapping("ear", "it's a label", "d\u00e9faut\n2");
const options = { imgsz: SIZE, task: "segment", classes, author: "Test", license: "Apache-2.0" } as const;
const images: RgbImage[] = [0, 1, 2].map((index) => {
  const random = new CounterRandom({ seed: 4, path: "photo", index });
  return { width: 80, height: 60, data: Uint8Array.from({ length: 80 * 60 * 3 }, () => random.integer(0, 255)) };
});
const tensors = images.map((image) => prepareYolo(image, { size: SIZE }).data);

async function errorOf(action: () => unknown): Promise<ExportError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof ExportError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("exportOnnx", () => {
  test("writes metadata that the detector reads back, names with quotes and newlines included", async () => {
    const { bytes } = await exportOnnx({ ...options, trace: yoloGraph({ imgsz: SIZE }) });
    const detector = await createDetector({ model: bytes, classes });
    expect(detector.metadata.names).toEqual(classes.classes.map(({ name }) => name));
    expect(detector.metadata.imgsz).toEqual([SIZE, SIZE]);
    expect(detector.metadata.task).toBe("segment");
    expect(detector.metadata.raw["stride"]).toBe("32");
    const found = await detector.predict(images[0]!, { confidence: 0.3, maxDetections: 5 });
    expect(found.scores.length).toBeGreaterThan(0);
    for (const id of found.classes) expect(Number.isInteger(id) && id >= 0 && id < 3).toBe(true);
    for (const mask of found.masks!) expect(mask.size).toEqual([60, 80]);
    expect(found.names).toEqual([...found.classes].map((id) => classes.classes[id]!.name));
    await detector.dispose();
  });

  test("equal traces give equal bytes", async () => {
    const trace = (): Model => yoloGraph({ imgsz: SIZE, width: 0.0625 });
    const [a, b] = [await exportOnnx({ ...options, trace }), await exportOnnx({ ...options, trace })];
    expect(Buffer.compare(a.bytes, b.bytes)).toBe(0);
  });

  test("a class count off by one is CLASS_MAP_MISMATCH", async () => {
    const trace = yoloGraph({ imgsz: SIZE, width: 0.0625, numClasses: 4 });
    const error = await errorOf(() => exportOnnx({ ...options, trace }));
    expect(ExportError.is(error, "CLASS_MAP_MISMATCH") && error.details).toEqual({ expected: 3, actual: 4 });
  });

  test("a second input and an int64 input are NOT_PROMPT_FREE", async () => {
    const graph = yoloGraph({ imgsz: SIZE, width: 0.0625 });
    const withInputs = (inputs: Model["graph"]["inputs"]): Model => ({ ...graph, graph: { ...graph.graph, inputs } });
    const tokens = { name: "tokens", dataType: DataType.INT64, shape: [1, 8] };
    for (const inputs of [[...graph.graph.inputs, tokens], [tokens], []]) {
      expect((await errorOf(() => certifyPromptFree(withInputs(inputs)))).code).toBe("NOT_PROMPT_FREE");
      expect((await errorOf(() => exportOnnx({ ...options, trace: withInputs(inputs) }))).code).toBe("NOT_PROMPT_FREE");
    }
  });

  test("gaps and duplicates in the mapping are CLASS_MAP_MISMATCH", async () => {
    const trace = yoloGraph({ imgsz: SIZE, width: 0.0625 });
    const broken: ClassMapping = { classes: classes.classes.map((entry) => ({ ...entry, categoryId: 7 })) };
    expect((await errorOf(() => exportOnnx({ ...options, trace, classes: broken }))).code).toBe("CLASS_MAP_MISMATCH");
  });
});

describe("certifyPromptFree", () => {
  const value = (name: string, dataType: number, shape: (number | string)[]) => ({ name, dataType, shape });
  /** The signature of an exported text- or box-prompted detector around one operator. */
  const prompted = (inputs: Model["graph"]["inputs"]): Model => {
    const b = new GraphBuilder("prompted");
    for (const { name, dataType, shape } of inputs) b.input(name, dataType, shape);
    const [y] = b.node("Identity", [inputs[0]!.name]);
    b.output(y!, DataType.FLOAT);
    return b.build();
  };

  test.each([
    [
      "Grounding DINO",
      [
        value("pixel_values", DataType.FLOAT, [1, 3, 800, 800]),
        value("input_ids", DataType.INT64, [1, "tokens"]),
        value("attention_mask", DataType.INT64, [1, "tokens"]),
      ],
    ],
    [
      "SAM decoder",
      [
        value("image_embeddings", DataType.FLOAT, [1, 256, 64, 64]),
        value("point_coords", DataType.FLOAT, [1, "points", 2]),
        value("point_labels", DataType.FLOAT, [1, "points"]),
      ],
    ],
    ["SAM encoder", [value("x", DataType.FLOAT, [1, 3, 1024, 1024])]],
  ])("refuses the export of %s", async (_, inputs) => {
    expect((await errorOf(() => certifyPromptFree(prompted(inputs)))).code).toBe("NOT_PROMPT_FREE");
  });

  test("refuses a vocabulary inside the graph", async () => {
    const b = new GraphBuilder("baked");
    const x = b.input("images", DataType.FLOAT, [1, 3, 32, 32]);
    const table = b.initializer("word_embeddings", DataType.FLOAT, [30_522, 2], new Float32Array(61_044));
    const [words] = b.node("Gather", [table, b.initializer("ids", DataType.INT64, [1], [5])]);
    const [y] = b.node("MatMul", [b.node("ReduceMean", [x])[0]!, words!]);
    b.output(y!, DataType.FLOAT);
    expect((await errorOf(() => certifyPromptFree(b.build()))).message).toContain("word_embeddings");
  });
});

describe("checkCertificates", () => {
  test("accepts what was written, and refuses changed content, changed files and foreign signatures", async () => {
    const folder = mkdtempSync(join(directory, "sealed-"));
    const { bytes } = await exportOnnx({ ...options, trace: yoloGraph({ imgsz: SIZE, width: 0.0625 }) });
    const model = join(folder, "model.onnx");
    writeFileSync(model, bytes);
    const certificate = await verifyExport(model, { classes });
    const [own, foreign] = [generateKeyPairSync("ed25519"), generateKeyPairSync("ed25519")];
    const path = writeCertificates(folder, [certificate], { privateKey: own.privateKey });
    expect(checkCertificates(path).promptFree).toBe(true);
    expect(checkCertificates(path, { publicKey: own.publicKey }).artefacts.length).toBe(1);
    const reasonOf = async (action: () => unknown) => {
      const error = await errorOf(action);
      return ExportError.is(error, "CERTIFICATE_INVALID") && error.details.reason;
    };
    expect(await reasonOf(() => checkCertificates(path, { publicKey: foreign.publicKey }))).toMatch(/signature/);
    const sealed = readFileSync(path, "utf8");
    writeFileSync(path, sealed.replace('"numClasses": 3', '"numClasses": 4'));
    expect(await reasonOf(() => checkCertificates(path))).toMatch(/changed after/);
    writeFileSync(path, sealed);
    writeFileSync(model, bytes.subarray(1));
    expect(await reasonOf(() => checkCertificates(path))).toMatch(/model\.onnx has hash/);
    writeCertificates(folder, [certificate]);
    expect(await reasonOf(() => checkCertificates(path, { publicKey: own.publicKey }))).toMatch(/not signed/);
  });
});

describe("assertAccuracy", () => {
  test("lets a small loss pass, warns of a larger one and stops beyond the limit with the worst layers", async () => {
    const at = (value: number) =>
      assertAccuracy({ artefact: "model_int8.onnx", precision: "int8", source: 0.5, value });
    expect(at(0.496)).toMatchObject({ limit: 0.03, warning: null });
    expect(at(0.48).warning).toContain("0.0200");
    const worst = [{ tensor: "model.0.conv.weight", sqnrDb: 3 }];
    const error = await errorOf(() =>
      assertAccuracy({ artefact: "model_int8.onnx", precision: "int8", source: 0.5, value: 0.46, worst }),
    );
    expect(ExportError.is(error, "GATE_FAILED") && error.details.worst).toEqual(worst);
    expect((await errorOf(() => at(Number.NaN))).code).toBe("GATE_FAILED");
  });
});

describe("verifyExport", () => {
  test("certifies float and INT8 artefacts, with every companion file written", async () => {
    const { model } = await exportOnnx({ ...options, trace: yoloGraph({ imgsz: SIZE }) });
    const table = await calibrate(model, tensors);
    const int8 = quantizeStatic(model, table);
    const paths = writeArtefacts(directory, {
      models: { "model.onnx": model, "model_int8.onnx": int8 },
      model,
      classes,
      calibration: table,
    });
    expect(Object.keys(paths).sort()).toEqual(
      ["calibration.json", "class_mapping.yaml", "classes.json", "labels.txt"].concat([
        "metadata.yaml",
        "model.onnx",
        "model_int8.onnx",
        "preprocess.json",
      ]),
    );
    const reference = paths["model.onnx"]!;
    const spec = { classes, images: tensors, reference };
    const first = await verifyExport(paths["model.onnx"]!, spec);
    const second = await verifyExport(paths["model_int8.onnx"]!, { ...spec, precision: "int8" });
    expect([first.promptFree, second.promptFree]).toEqual([true, true]);
    expect(first.behaviour.map(({ input }) => input)).toEqual(["zeros", "noise", "image 0", "image 1", "image 2"]);
    expect(first.parity!.boxMaxError).toBe(0);
    expect(second.parity!.classSqnrDb).toBeGreaterThan(10);
    expect(first.operators["Identity"]).toBeUndefined();
    const written = JSON.parse(readFileSync(join(directory, "model_int8.certificate.json"), "utf8"));
    expect(written.fileSha256).toBe(second.fileSha256);
    const hashes = JSON.parse(readFileSync(join(directory, "classes.json"), "utf8")).modelSha256;
    expect(hashes["model_int8.onnx"]).toBe(second.fileSha256);
    const all = JSON.parse(readFileSync(writeCertificates(directory, [first, second]), "utf8"));
    expect([all.promptFree, all.artefacts.length]).toEqual([true, 2]);
    expect(readdirSync(directory).filter((name) => name.includes("tmp"))).toEqual([]);
  });

  test("quantising everything is HEAD_COLLAPSE, and the file is rejected", async () => {
    const { model, bytes } = await exportOnnx({ ...options, trace: yoloGraph({ imgsz: SIZE }) });
    const table = await calibrate(model, tensors, { includeHead: true });
    const path = join(directory, "collapsed.onnx");
    writeFileSync(path, encodeModel(quantizeStatic(model, table, { exclude: "none" })));
    const error = await errorOf(() =>
      verifyExport(path, { classes, images: tensors, reference: bytes, precision: "int8" }),
    );
    expect(ExportError.is(error, "HEAD_COLLAPSE") && error.details.detections).toBe(0);
    // The output itself is what one scale ruins.
    expect(ExportError.is(error, "HEAD_COLLAPSE") && error.details.worst?.length).toBe(5);
    expect([existsSync(path), existsSync(`${path}.rejected`)]).toEqual([false, true]);
    expect(existsSync(join(directory, "collapsed.certificate.json"))).toBe(false);
  });

  test("a class count off by one is CLASS_MAP_MISMATCH", async () => {
    const { bytes } = await exportOnnx({ ...options, trace: yoloGraph({ imgsz: SIZE, width: 0.0625 }) });
    const path = join(directory, "off-by-one.onnx");
    writeFileSync(path, bytes);
    expect((await errorOf(() => verifyExport(path, { classes: mapping("a", "b") }))).code).toBe("CLASS_MAP_MISMATCH");
  });

  test("a NaN weight makes the outputs NOT_DECODABLE", async () => {
    const trace = yoloGraph({ imgsz: SIZE, width: 0.0625 });
    const bias = trace.graph.initializers.find(({ name }) => name.endsWith("bias"))!;
    bias.rawData = new Uint8Array(bias.rawData!.length).fill(0xff);
    const { bytes } = await exportOnnx({ ...options, trace });
    const path = join(directory, "nan.onnx");
    writeFileSync(path, bytes);
    expect((await errorOf(() => verifyExport(path, { classes }))).code).toBe("NOT_DECODABLE");
  });

  test("a tokenizer beside the model is NOT_PROMPT_FREE", async () => {
    const folder = mkdtempSync(join(directory, "prompted-"));
    const { bytes } = await exportOnnx({ ...options, trace: yoloGraph({ imgsz: SIZE, width: 0.0625 }) });
    writeFileSync(join(folder, "model.onnx"), bytes);
    writeFileSync(join(folder, "tokenizer.json"), "{}");
    expect((await errorOf(() => verifyExport(join(folder, "model.onnx"), { classes }))).code).toBe("NOT_PROMPT_FREE");
  });
});
