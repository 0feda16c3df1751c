import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type EpochRecord, resultsColumns } from "./results-csv.js";
import { RunDirectory } from "./run-directory.js";
import { toYaml } from "./yaml.js";

const root = mkdtempSync(join(tmpdir(), "seg-train-run-"));
afterAll(() => rmSync(root, { recursive: true }));

const record = (epoch: number, changes: Partial<EpochRecord> = {}): EpochRecord => ({
  epoch,
  step: epoch * 13,
  time: epoch * 1.5,
  train: { box: 1 / 3, cls: 12345.678, dfl: 1e-7 },
  metrics: null,
  lr: [0.1, 0.01, 0.001],
  gradNorm: 2,
  ...changes,
});

describe("resultsColumns", () => {
  test("of a detector", () => {
    expect(resultsColumns({ losses: ["box", "cls", "dfl"], boxes: true, masks: false }).join(",")).toBe(
      "epoch,time,train/box_loss,train/cls_loss,train/dfl_loss," +
        "metrics/precision(B),metrics/recall(B),metrics/mAP50(B),metrics/mAP50-95(B)," +
        "val/box_loss,val/cls_loss,val/dfl_loss,lr/pg0,lr/pg1,lr/pg2,grad_norm",
    );
  });

  test("of a segmenter under distillation, whatever the order of its parts", () => {
    const losses = ["kd_feat", "kd_cls", "dfl", "cls", "seg", "box", "kd_mask", "kd_box", "kd_grad_ratio"];
    expect(resultsColumns({ losses, boxes: true, masks: true }).join(",")).toBe(
      "epoch,time,train/box_loss,train/seg_loss,train/cls_loss,train/dfl_loss," +
        "metrics/precision(B),metrics/recall(B),metrics/mAP50(B),metrics/mAP50-95(B)," +
        "metrics/precision(M),metrics/recall(M),metrics/mAP50(M),metrics/mAP50-95(M)," +
        "val/box_loss,val/seg_loss,val/cls_loss,val/dfl_loss,lr/pg0,lr/pg1,lr/pg2," +
        "train/kd_cls,train/kd_box,train/kd_mask,train/kd_feat,kd/grad_ratio,grad_norm",
    );
  });

  test("of other losses", () => {
    expect(resultsColumns({ losses: ["dice"], boxes: false, masks: true, groups: 1 })).toContain("train/dice_loss");
  });
});

describe("RunDirectory", () => {
  test("writes six significant digits, empty cells for what was not evaluated, full precision beside", () => {
    const run = new RunDirectory(join(root, "a"));
    run.openResults({ losses: ["box", "cls", "dfl"], boxes: true, masks: false });
    run.append(record(1));
    run.append(
      record(2, {
        metrics: { precision: 0.5, recall: 0.25, mAP50: 2 / 3, "mAP50-95": Number.NaN, val_box_loss: 0.1, mask_IoU: 1 },
      }),
    );
    const lines = readFileSync(run.file("results.csv"), "utf8").split("\n");
    expect(lines[1]).toBe("1,1.5,0.333333,12345.7,1e-7,,,,,,,,0.1,0.01,0.001,2");
    expect(lines[2]).toBe("2,3,0.333333,12345.7,1e-7,0.5,0.25,0.666667,nan,0.1,,,0.1,0.01,0.001,2");
    const rows = readFileSync(run.file("metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows[0]).toMatchObject({ epoch: 1, step: 13, train: { box: 1 / 3 }, metrics: null, grad_norm: 2 });
    expect(rows[1].metrics.mask_IoU).toBe(1);
  });

  test("truncates rows after an epoch and lines that were cut short", () => {
    const run = new RunDirectory(join(root, "b"));
    run.openResults({ losses: ["box"], boxes: false, masks: false });
    for (let epoch = 1; epoch <= 12; epoch++) run.append(record(epoch));
    appendFileSync(run.file("results.csv"), "13,0.3");
    appendFileSync(run.file("metrics.jsonl"), '{"epoch":13,"ti');
    expect(run.truncateAfter(2)).toBe(3);
    expect(
      readFileSync(run.file("results.csv"), "utf8")
        .split("\n")
        .map((line) => line.split(",")[0]),
    ).toEqual(["epoch", "1", "2", ""]);
    expect(readFileSync(run.file("metrics.jsonl"), "utf8").trim().split("\n")).toHaveLength(2);
    const again = new RunDirectory(run.path);
    again.openResults({ losses: ["other"], boxes: true, masks: true });
    again.append(record(3));
    expect(readFileSync(run.file("results.csv"), "utf8")).toContain("\n3,4.5,0.333333,");
    expect(again.truncateAfter(0)).toBe(0);
    expect(readFileSync(run.file("results.csv"), "utf8").split("\n")).toHaveLength(2);
  });

  test("gives an existing name a numeric suffix", () => {
    const first = RunDirectory.create(join(root, "exp"));
    first.writeArgs({ a: 1 });
    const second = RunDirectory.create(join(root, "exp"));
    second.writeArgs({ a: 1 });
    expect(second.path).toBe(join(root, "exp2"));
    expect(RunDirectory.create(join(root, "exp")).path).toBe(join(root, "exp3"));
    expect(RunDirectory.create(join(root, "exp"), { existOk: true }).path).toBe(join(root, "exp"));
  });
});

describe("toYaml", () => {
  test("nests maps and lists, and quotes what a reader would take for something else", () => {
    expect(
      toYaml({
        model: "yolov8n-seg",
        lr: 1e-7,
        momentum: 0.937,
        path: "/data/a.json",
        text: "a: b # c",
        flag: true,
        answer: "yes",
        digits: "1.5",
        nothing: null,
        empty: {},
        list: [1, "two words", 3],
        early_stopping: { patience: 15, nested: { deep: [] } },
        items: [{ id: 1, name: "ear" }, { id: 2 }],
      }),
    ).toBe(
      [
        "model: yolov8n-seg",
        "lr: 1.0e-7",
        "momentum: 0.937",
        "path: /data/a.json",
        'text: "a: b # c"',
        "flag: true",
        'answer: "yes"',
        'digits: "1.5"',
        "nothing: null",
        "empty: {}",
        'list: [1, "two words", 3]',
        "early_stopping:",
        "  patience: 15",
        "  nested:",
        "    deep: []",
        "items:",
        "  -",
        "    id: 1",
        "    name: ear",
        "  -",
        "    id: 2",
        "",
      ].join("\n"),
    );
  });
});
