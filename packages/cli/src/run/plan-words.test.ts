import { describe, expect, test } from "vitest";
import type { Choice, PlanFile } from "./plan-file.js";
import { checkCarriedOut, notCarriedOut, plannedSeconds, studentSettings, teacherSettings } from "./plan-words.js";

const CHOICES: Record<string, Choice> = {
  detector_teacher: "grounding-dino-tiny",
  mask_teacher: "sam-vit-h",
  student: "yolov8n-seg",
  image_size: 320,
  student_epochs: 100,
  batch: 8,
  learning_rate: 0.0007,
  mosaic: 1,
  flip_vertical: 0,
  close_mosaic: 20,
  lora_epochs: 25,
  lora_rank: 16,
  lora_alpha: 32,
  characteristics: [],
  export: "int8",
  optimizer: "adamw",
};
const plan = (changes: Record<string, Choice> = {}): PlanFile => ({
  version: 1,
  choices: { ...CHOICES, ...changes },
  advised: Object.fromEntries(Object.entries(CHOICES).map(([name, value]) => [name, { value, why: "" }])),
  plan: "p",
  student_seconds: 600,
  warnings: [],
});
const free = { teachers: "embedded", timeBudgetSeconds: null, student: {} } as const;

describe("teacherSettings", () => {
  test("the embedded teachers get a rank that fits their size, and no more images than they learn from", () => {
    expect(teacherSettings(plan(), free).settings).toMatchObject({
      teacher: "grounding-dino-tiny-synthetic",
      sam: "sam-tiny-synthetic",
      epochs: 25,
      "lora.r": 8,
      "lora.lora_alpha": 16,
      "max-images": 120,
    });
  });

  test("a time budget takes images away", () => {
    // A fifth of 600 s, at 0.08 s an image and epoch, 25 epochs.
    const { settings } = teacherSettings(plan(), { ...free, timeBudgetSeconds: 600 });
    expect(settings).not.toBeNull();
    expect(settings?.["max-images"]).toBe(60);
    expect(teacherSettings(plan(), { ...free, timeBudgetSeconds: 1 }).settings?.["max-images"]).toBe(16);
  });

  test("published teachers are the plan's, under the names of the catalogue", () => {
    expect(teacherSettings(plan(), { ...free, teachers: "published" }).settings).toEqual({
      teacher: "grounding-dino-tiny",
      sam: "sam-vit-huge",
      epochs: 25,
      "lora.r": 16,
      "lora.lora_alpha": 32,
    });
  });

  test("none where none is wanted, or nothing is annotated for one", () => {
    expect(teacherSettings(plan(), { ...free, teachers: "none" })).toEqual({
      settings: null,
      why: expect.stringContaining("as you decided"),
    });
    expect(teacherSettings(plan({ detector_teacher: null, mask_teacher: null }), free).settings).toBeNull();
    expect(teacherSettings(plan({ mask_teacher: null }), free).settings).not.toHaveProperty("sam");
  });
});

describe("a time budget without masks", () => {
  const boxes = plan({ mask_teacher: null });
  const short = { ...free, timeBudgetSeconds: 600 };

  test("is not spent on a detector that the student would not listen to", () => {
    expect(teacherSettings(boxes, short)).toEqual({
      settings: null,
      why: expect.stringContaining("the student would not listen to a detector, and the time is short"),
    });
    expect(plannedSeconds(boxes, { ...short, images: 50 }).teacher).toBe(0);
    expect(notCarriedOut(boxes, short)[0]).toMatch(/^no teacher is adapted: every object is labelled/);
  });

  test("is, where there are places without labels or the person insists", () => {
    for (const student of [{ unlabelled: "more" }, { "non-exhaustive": true }, { "kd-cls": 1 }]) {
      expect(teacherSettings(boxes, { ...short, student }).settings).toMatchObject({
        teacher: "grounding-dino-tiny-synthetic",
      });
    }
  });
});

describe("studentSettings", () => {
  test("evaluates about 25 times and trains to the end", () => {
    expect(studentSettings(plan())).toMatchObject({ epochs: 100, "eval-interval": 4, patience: 0, imgsz: 320 });
    expect(studentSettings(plan({ student_epochs: 3 }))).toMatchObject({ "eval-interval": 1 });
  });
});

describe("plannedSeconds", () => {
  test("adds what was measured, and says null of what was not", () => {
    expect(plannedSeconds(plan(), { ...free, images: 50 })).toEqual({ teacher: 50 * 25 * 0.08, student: 600 });
    expect(plannedSeconds(plan(), { ...free, images: 500 }).teacher).toBe(120 * 25 * 0.08);
    expect(plannedSeconds(plan(), { ...free, teachers: "published", images: 50 }).teacher).toBeNull();
    expect(plannedSeconds(plan(), { ...free, teachers: "none", images: 50 }).teacher).toBe(0);
  });
});

describe("checkCarriedOut", () => {
  test("refuses a decision that nothing follows from", () => {
    expect(() => checkCarriedOut(plan({ student_epochs: 5 }))).not.toThrow();
    expect(() => checkCarriedOut(plan({ optimizer: "sgd" }))).toThrow(
      "optimizer cannot be decided for seg run: students are always trained with AdamW. Leave it as it was advised (adamw).",
    );
  });
});

describe("notCarriedOut", () => {
  test("says what stands for published teachers, and how to have the advised characteristics", () => {
    expect(notCarriedOut(plan(), { ...free, teachers: "published" })).toEqual([
      expect.stringMatching(/^also in plan\.yaml/),
    ]);
    const [teachers, characteristics] = notCarriedOut(plan({ characteristics: ["changes_size"] }), free);
    expect(teachers).toBe(
      "grounding-dino-tiny and sam-vit-h must be fetched (--teacher published); this run adapts the small ones of this toolkit, which need no network",
    );
    expect(characteristics).toContain("--student.characteristics changes_size");
    expect(notCarriedOut(plan(), { ...free, teachers: "none" })[0]).toBe(
      "no teacher is adapted: as you decided (--teacher none): the student learns from the labels alone",
    );
  });
});
