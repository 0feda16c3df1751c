import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { runSeg, type SegRun } from "./run-seg.js";
import { writeTinyDataset } from "./tiny-dataset.js";

let root: string;
let labelled: { annotations: string; images: string };
let unnamed: string;
let experiment: string;
const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), "utf8"));
const last = ({ stdout }: SegRun) => JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
const small = ["--imgsz", "64", "--epochs", "1", "--batch", "2", "--threads", "1"];
const gentle = ["--mosaic", "0", "--mixup", "0", "--copy-paste", "0"];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "seg-train-student-"));
  labelled = await writeTinyDataset(join(root, "labelled"), { count: 3 });
  ({ annotations: unnamed } = await writeTinyDataset(join(root, "unnamed"), {
    count: 4,
    edit: (document) => {
      document.annotations = [];
    },
  }));
  // What train-teacher leaves behind, with the embedded networks as they are: adapting them is its own test.
  experiment = join(root, "experiment");
  await mkdir(join(experiment, "teachers"), { recursive: true });
  const records = {
    "sam.json": { version: 1, base: "sam-tiny-synthetic", adapter: null },
    "grounding_dino.json": {
      ...{ version: 1, base: "grounding-dino-tiny-synthetic", adapter: null, phrases: ["bar", "square"] },
    },
    "grounding_dino_metrics.json": { after: { mAP50: 0.31 } },
  };
  for (const [name, record] of Object.entries(records))
    await writeFile(join(experiment, "teachers", name), JSON.stringify(record));
}, 120_000);
afterAll(() => rm(root, { recursive: true, force: true }));

/** The labelled set with one kind of annotation. */
async function only(kind: "bbox" | "segmentation", name: string): Promise<string> {
  const { annotations } = await writeTinyDataset(join(root, name), {
    count: 2,
    edit: (document) => {
      for (const annotation of document.annotations) {
        delete annotation[kind === "bbox" ? "segmentation" : "bbox"];
        delete annotation["area"];
      }
    },
  });
  return annotations;
}

describe("the student follows from the annotations", () => {
  test.each([
    ["boxes only", () => only("bbox", "boxes"), "yolov8n"],
    ["boxes and masks", async () => labelled.annotations, "yolov8n-seg"],
    ["masks only", () => only("segmentation", "masks"), "mobilesam"],
  ])(
    "%s",
    async (name, annotations, student) => {
      const output = join(root, `student ${name}`);
      const data = await annotations();
      const run = await runSeg(
        "train-student",
        "--data",
        data,
        "--output",
        output,
        "--edge",
        ...small,
        ...gentle,
        "--json",
      );
      expect(run.code, run.stderr).toBe(0);
      expect(last(run)).toMatchObject({ command: "train-student", student, epoch: 1, reason: "completed" });
      expect(json(output, "student.json")).toMatchObject({ student, teacher: null });
      expect(existsSync(join(output, "weights", "student.safetensors"))).toBe(true);
      const text = readFileSync(join(output, "distillation_config.yaml"), "utf8");
      expect(text).toContain(`# student: "${student}"\n# num_classes: 2\n# class_mapping: {"0":"bar","1":"square"}`);
      expect(parse(text)).toMatchObject({ edge: true, imgsz: 64, kl: "sigmoid" });
    },
    120_000,
  );
});

describe("with a teacher", () => {
  const train = (output: string, ...more: string[]) =>
    runSeg(
      ...["train-student", "--data", labelled.annotations, "--val", labelled.annotations, "--teacher-dir", experiment],
      ...["--output", output, "--student", "yolov8p-seg", ...small, ...gentle, ...more],
    );

  test("masks are distilled; a detector below its gate keeps out of what people annotated, and it is said why", async () => {
    const output = join(root, "masks");
    const run = await train(output);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stdout).toMatch(/^teacher +sam-tiny-synthetic: soft masks of every object$/m);
    const header = readFileSync(join(output, "results.csv"), "utf8").split("\n")[0]!;
    expect(header).toContain("train/kd_mask,kd/grad_ratio");
    expect(header).not.toContain("kd_cls");
    expect(json(output, "student.json").teacher.id).toBe("sam-tiny-synthetic");
    // The file is a --config of its own.
    const again = join(root, "again");
    const same = await runSeg("train-student", "--config", join(output, "distillation_config.yaml"), "--output", again);
    expect(same.code, same.stderr).toBe(0);
    const bytes = (folder: string) => readFileSync(join(folder, "weights", "student.safetensors"));
    expect(bytes(again).equals(bytes(output))).toBe(true);
  }, 240_000);

  test("images without labels are named by the detector; scores, boxes and features on request", async () => {
    const output = join(root, "named");
    const run = await train(
      ...[output, "--unlabelled", unnamed, "--pseudo-score", "0.05", "--ignore-score", "0.05"],
      ...["--kd-cls", "1", "--kd-box", "1", "--kd-feat", "1", "--kl", "softmax"],
    );
    expect(run.code, run.stderr).toBe(0);
    expect(run.stdout).toMatch(/names the objects of images without labels/);
    expect(run.stdout).toMatch(/^cache .*: 7 images, \d+ labels confirmed, [1-9]\d* added/m);
    const header = readFileSync(join(output, "results.csv"), "utf8").split("\n")[0]!;
    expect(header).toContain("train/kd_cls,train/kd_box,train/kd_mask,train/kd_feat,kd/grad_ratio");
  }, 240_000);

  test("--ablation compares the arms that there is something for, and goes on where it stopped", async () => {
    const output = join(root, "ablation");
    const run = await train(output, "--ablation");
    expect(run.code, run.stderr).toBe(0);
    const rows = readFileSync(join(output, "kd_ablation.csv"), "utf8").trimEnd().split("\n");
    expect(rows[0]).toMatch(/^arm,seed,steps,mAP50,/);
    expect(rows.slice(1).map((row) => row.split(",").slice(0, 3).join())).toEqual([
      ...["gt,0,2", "gt,1,2", "mask,0,2", "mask,1,2"],
    ]);
    expect(run.stdout).toMatch(/^ablation +mask \(\+ masks\): mAP50 .* against gt: /m);
    expect(run.stdout).toMatch(/^ablation +hard was left out: the teacher added no label\.$/m);
    expect(readFileSync(join(output, "kd_ablation.svg"), "utf8")).toContain("against gt");
    // Finished runs are read, not repeated: without the pictures nothing could be trained.
    await cp(join(output, "kd_ablation.csv"), join(root, "first.csv"));
    const again = await train(output, "--ablation");
    expect(again.code, again.stderr).toBe(0);
    expect(readFileSync(join(output, "kd_ablation.csv"), "utf8")).toBe(readFileSync(join(root, "first.csv"), "utf8"));
  }, 300_000);

  test("says what is missing", async () => {
    const bare = await runSeg("train-student", "--data", unnamed, "--output", join(root, "bare"));
    expect([bare.code, bare.stderr]).toEqual([1, expect.stringMatching(/no annotations.*--teacher-dir/s)]);
    const data = ["train-student", "--data", labelled.annotations, "--output", join(root, "bare")];
    expect((await runSeg(...data, "--sweep-scores", "--pseudo-score", "0.5")).stderr).toMatch(/give one of them/);
    expect((await runSeg(...data, "--unlabelled", unnamed)).stderr).toMatch(/--unlabelled needs a --teacher-dir/);
    expect((await runSeg(...data, "--ablation")).stderr).toMatch(/--ablation compares .*give --val/);
    expect((await runSeg(...data, "--kl", "soft")).stderr).toMatch(
      /--kl is one of sigmoid, binary, softmax; got "soft"/,
    );
    expect(existsSync(join(root, "bare"))).toBe(false);
  });
});
