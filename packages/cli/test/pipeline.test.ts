import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import type { ReportJson } from "../src/report/report-json.js";
import { runSeg, type SegRun } from "./run-seg.js";
import { writeTinyDataset } from "./tiny-dataset.js";

/** In the order of the category ids, 3 and 7: index k is the k-th name. */
const NAMES = ["bar", "square"];

let root: string;
let splits: string;
let student: string;
let images: string;
let validated: SegRun;
let trained: SegRun;
let optimized: SegRun;

const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), "utf8"));
/** Every line of stdout as JSON; throws where one is not. */
const events = ({ stdout }: SegRun): Record<string, unknown>[] =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
const last = (run: SegRun) => events(run).at(-1)!;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "seg-pipeline-"));
  const dataset = await writeTinyDataset(join(root, "dataset"), { count: 8 });
  images = dataset.images;
  splits = join(root, "splits");
  student = join(root, "student");
  validated = await runSeg(
    ...["validate", "--data", dataset.annotations, "--output", splits, "--split", "train:0.75,val:0.25", "--json"],
  );
  trained = await runSeg(
    ...["train-student", "--data", join(splits, "train.json"), "--val", join(splits, "val.json"), "--output", student],
    ...["--student", "yolov8p-seg", "--imgsz", "64", "--epochs", "2", "--batch", "4", "--threads", "1", "--json"],
  );
  optimized = await runSeg("optimize", "--model", student, "--threads", "1", "--json");
}, 300_000);
afterAll(() => rm(root, { recursive: true, force: true }));

describe("seg validate, train-student, optimize, predict", () => {
  test("every command ends with a result", () => {
    for (const run of [validated, trained, optimized]) expect(run.code, run.stderr).toBe(0);
    expect(last(validated)).toMatchObject({ type: "result", command: "validate", ok: true });
    expect(last(trained)).toMatchObject({ type: "result", command: "train-student", epoch: 2, reason: "completed" });
    expect(last(optimized)).toMatchObject({ type: "result", command: "optimize", promptFree: true });
  });

  test("the splits share the categories, divide the images and find them again", () => {
    const [train, val] = [json(splits, "train.json"), json(splits, "val.json")];
    expect([train.images.length, val.images.length]).toEqual([6, 2]);
    expect(train.categories).toEqual(val.categories);
    const names = [...train.images, ...val.images].map((image: { file_name: string }) => image.file_name).sort();
    expect(names).toEqual(readdirSync(images).sort());
    expect(existsSync(join(splits, train.seg_images_dir, names[0]!))).toBe(true);
    expect(json(splits, "split.lock.json")).toMatchObject({ version: 1, seed: 42 });
  });

  test("training reports steps, two evaluated epochs and finite losses", () => {
    const list = events(trained);
    const metrics = list.filter((event) => event["type"] === "eval").map((event) => event["metrics"]);
    expect(metrics).toHaveLength(2);
    for (const each of metrics as Record<string, number>[]) {
      expect(each).toMatchObject({ mAP50: expect.any(Number), "mask_mAP50-95": expect.any(Number) });
    }
    const losses = list.filter((event) => event["type"] === "epoch").map((event) => event["losses"]);
    expect(losses).toHaveLength(2);
    for (const each of losses as Record<string, number>[]) {
      expect(Object.keys(each)).toEqual(expect.arrayContaining(["box", "cls", "dfl", "seg"]));
      // Without a teacher there is no distillation term.
      expect(Object.keys(each)).not.toContain("kd_mask");
      expect(Object.values(each).every(Number.isFinite)).toBe(true);
    }
  });

  test("the run directory is complete", () => {
    for (const file of ["args.yaml", "class_mapping.json", "checkpoints.json", "metrics.jsonl", "results.csv"]) {
      expect(existsSync(join(student, file)), file).toBe(true);
    }
    expect(readFileSync(join(student, "results.csv"), "utf8").trimEnd().split("\n")).toHaveLength(3);
    expect(statSync(join(student, "weights", "student.safetensors")).size).toBeGreaterThan(1000);
    expect(json(student, "student.json")).toMatchObject({
      student: "yolov8p-seg",
      imgsz: 64,
      epochs: 2,
      teacher: null,
      classes: [
        { index: 0, categoryId: 3, name: "bar" },
        { index: 1, categoryId: 7, name: "square" },
      ],
    });
  });

  test("the certificate says that no artefact needs a prompt", () => {
    const certificate = json(student, "optimized", "certificate.json");
    expect(certificate.promptFree).toBe(true);
    expect(certificate.artefacts.map((a: { file: string }) => a.file)).toEqual(["model_fp32.onnx", "model_int8.onnx"]);
    for (const artefact of certificate.artefacts) {
      expect(artefact).toMatchObject({ promptFree: true, numClasses: 2 });
      expect(artefact.inputs.map((input: { name: string }) => input.name)).toEqual(["images"]);
    }
  });

  test("INT8 is much smaller than fp32", () => {
    const size = (name: string) => statSync(join(student, "optimized", name)).size;
    expect(size("model_int8.onnx")).toBeLessThan(0.5 * size("model_fp32.onnx"));
  });

  test("class files list the names in the order of the class index and name the models they belong to", () => {
    const folder = join(student, "optimized");
    const sha256 = (name: string) =>
      createHash("sha256")
        .update(readFileSync(join(folder, name)))
        .digest("hex");
    expect(parseYaml(readFileSync(join(folder, "class_mapping.yaml"), "utf8"))).toEqual({
      num_classes: 2,
      classes: [
        { id: 0, name: "bar", coco_category_id: 3 },
        { id: 1, name: "square", coco_category_id: 7 },
      ],
    });
    expect(json(folder, "classes.json")).toEqual({
      version: 1,
      modelSha256: {
        "model_fp32.onnx": sha256("model_fp32.onnx"),
        "model_int8.onnx": sha256("model_int8.onnx"),
      },
      numClasses: 2,
      classes: [
        { id: 0, name: "bar", cocoCategoryId: 3 },
        { id: 1, name: "square", cocoCategoryId: 7 },
      ],
    });
    expect(readFileSync(join(folder, "labels.txt"), "utf8")).toBe("bar\nsquare\n");
  });

  test("predictions are boxes in the image with integer class ids below the number of classes", async () => {
    const output = join(root, "predictions");
    const files = readdirSync(images).map((name) => join(images, name));
    const run = await runSeg(
      ...["predict", "--model", join(student, "optimized", "model_int8.onnx"), "--output", output],
      ...["--confidence", "0.001", "--json", ...files],
    );
    expect(run.code, run.stderr).toBe(0);
    expect(last(run)).toMatchObject({ type: "result", command: "predict" });
    const predictions = json(output, "predictions.json") as {
      file: string;
      overlay: string;
      instances: { classId: number; name: string; score: number; box: number[] }[];
    }[];
    expect(predictions.map((p) => p.file)).toEqual(files);
    const instances = predictions.flatMap((p) => p.instances);
    expect(instances.length).toBeGreaterThan(0);
    for (const { classId, name, score, box } of instances) {
      expect(Number.isInteger(classId) && classId >= 0 && classId < NAMES.length).toBe(true);
      expect(name).toBe(NAMES[classId]);
      expect(score >= 0.001 && score <= 1).toBe(true);
      expect(box[0]! >= 0 && box[1]! >= 0 && box[2]! <= 96 && box[3]! <= 64).toBe(true);
    }
    for (const { overlay } of predictions) expect(statSync(overlay).size).toBeGreaterThan(0);
  });

  test("what a person corrects of predictions is a data set that validates, alone and merged with what trained the model", async () => {
    const output = join(root, "corrections");
    const predicted = join(root, "predictions", "annotations.json");
    const train = join(splits, "train.json");
    const found = json(predicted) as { images: { id: number }[]; annotations: { image_id: number; bbox: number[] }[] };
    expect(found.images).toHaveLength(8);
    // The person leaves one object an image and draws another.
    const annotations = found.images.flatMap(({ id }, i) => [
      ...found.annotations.filter(({ image_id }) => image_id === id).slice(0, 1),
      { id: 10_000 + i, image_id: id, category_id: 2, bbox: [1, 1, 12, 10], area: 120, iscrowd: 0 },
    ]);
    const corrected = join(root, "corrected.json");
    writeFileSync(corrected, JSON.stringify({ ...found, annotations }));
    const words = ["corrections", "--predicted", predicted, "--corrected", corrected];
    const made = await runSeg(...words, "--data", train, "--output", output, "--json");
    expect(made.code, made.stderr).toBe(0);
    const removed = found.annotations.length - (annotations.length - 8);
    expect(last(made)).toMatchObject({ images: 8, moved: 0, reclassified: 0, replaced: 6 });
    const { kept, added, removed: gone } = last(made) as Record<string, number>;
    expect([kept! + added!, gone! - removed]).toEqual([annotations.length, added! - 8]);
    for (const name of ["corrections.json", "merged.json"]) {
      const checked = await runSeg("validate", "--data", join(output, name), "--preview", "0", "--json");
      expect(checked.code, checked.stderr).toBe(0);
      expect(last(checked)).toMatchObject({ ok: true });
      expect(json(output, name).images).toHaveLength(8);
    }
    expect(json(output, "merged.json").categories).toEqual(json(train).categories);
  });

  test("evaluate reports the exported models, and the trained weights where nothing was exported", async () => {
    const bare = join(root, "bare");
    await cp(student, bare, { recursive: true, filter: (path) => !path.endsWith("optimized") });
    const reports: Record<string, ReportJson> = {};
    for (const [name, folder] of Object.entries({ exported: student, bare })) {
      const output = join(root, `report-${name}`);
      const run = await runSeg(
        ...["evaluate", "--student", folder, "--data", join(splits, "val.json"), "--images", images],
        ...["--output", output, "--overlays", "1", "--rounds", "20", "--threads", "1", "--json"],
      );
      expect(run.code, run.stderr).toBe(0);
      expect(last(run)).toMatchObject({ type: "result", command: "evaluate", report: join(output, "report.json") });
      expect(readFileSync(join(output, "report.html"), "utf8")).toMatch(/^<!doctype html>/);
      reports[name] = json(output, "report.json");
    }
    const names = (report: ReportJson) => report.models.map(({ name }) => name);
    expect(names(reports["exported"]!)).toEqual(["student fp32", "student INT8"]);
    expect(names(reports["bare"]!)).toEqual(["student checkpoint"]);
    // One network: the exported one finds what the trained one finds.
    const [float, trainedWeights] = [reports["exported"]!.models[0]!, reports["bare"]!.models[0]!];
    expect(trainedWeights.box!.map50).toBeCloseTo(float.box!.map50, 2);
    expect(trainedWeights.latencyMs!.p50).toBeGreaterThan(0);
    expect(reports["bare"]!.derived.holes).toContain("prompt-free certificate");
    expect(reports["exported"]!.overlays.map(({ caption }) => caption)[0]).toBe("annotated: 2 objects");
    expect(existsSync(join(bare, "optimized"))).toBe(false);
  });

  test("resuming a finished run changes neither its weights nor its log", async () => {
    const files = [join(student, "weights", "student.safetensors"), join(student, "results.csv")];
    const before = files.map((file) => readFileSync(file));
    const run = await runSeg(
      ...[
        "train-student",
        "--data",
        join(splits, "train.json"),
        "--val",
        join(splits, "val.json"),
        "--output",
        student,
      ],
      ...["--student", "yolov8p-seg", "--imgsz", "64", "--epochs", "2", "--batch", "4", "--threads", "1", "--resume"],
    );
    expect(run.code, run.stderr).toBe(0);
    expect(run.stdout).toMatch(/^resumed from .*last\.safetensors$/m);
    expect(files.map((file, i) => readFileSync(file).equals(before[i]!))).toEqual([true, true]);
  });
});
