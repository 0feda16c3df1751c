import { describe, expect, test } from "vitest";
import { SegError } from "./errors.js";
import { selectStudent } from "./select-student.js";

const facts = (bbox: number, polygon: number) => ({
  hasBoxes: bbox > 0,
  hasMasks: polygon > 0,
  counts: { bbox, polygon, rle: 0 },
});

describe("selectStudent", () => {
  test.each([
    [facts(5, 0), {}, "yolov8s"],
    [facts(5, 0), { edge: true }, "yolov8n"],
    [facts(0, 5), {}, "fastsam-s"],
    [facts(0, 5), { edge: true }, "mobilesam"],
    [facts(0, 5), { edge: true, student: "yolov8n-seg" }, "yolov8n-seg"],
    [facts(5, 5), { student: "mobilesam" }, "mobilesam"],
    [facts(5, 5), {}, "yolov8s-seg"],
    [facts(5, 5), { edge: true }, "yolov8n-seg"],
    [facts(5, 1), { size: "m" }, "yolov8m-seg"],
    [facts(5, 0), { size: "m" }, "yolov8m"],
    [facts(5, 5), { student: "yolov8n" }, "yolov8n"],
    [facts(5, 0), { student: "yolov8p-seg", allowTeacherMasks: true }, "yolov8p-seg"],
  ] as const)("%j with %j gives %s", (data, options, id) => {
    const decision = selectStudent(data, options);
    expect(decision.id).toBe(id);
    expect(decision.reasons.length).toBeGreaterThan(0);
  });

  test("refuses a mask student on boxes, and data without annotations", () => {
    for (const run of [
      () => selectStudent(facts(5, 0), { student: "yolov8n-seg" }),
      () => selectStudent(facts(0, 0)),
    ]) {
      try {
        run();
        expect.unreachable();
      } catch (error) {
        expect(SegError.isInstance(error) && error.code).toBe("distill/student-data-mismatch");
      }
    }
  });
});
