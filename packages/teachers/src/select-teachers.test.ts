import { expect, test } from "vitest";
import { selectTeachers } from "./select-teachers.js";

const facts = (hasBoxes: boolean, hasMasks: boolean) => ({ hasBoxes, hasMasks, numImages: 3, numAnnotations: 9 });

test.each([
  ["boxes only", true, false, "fine-tune", "none", ["grounding_dino"]],
  ["masks only", false, true, "zero-shot", "fine-tune", ["sam"]],
  ["both", true, true, "fine-tune", "fine-tune", ["grounding_dino", "sam"]],
])("%s", (_name, boxes, masks, detector, sam, fineTune) => {
  const selection = selectTeachers(facts(boxes, masks));
  expect(selection.decisions.map(({ wanted }) => wanted)).toEqual([detector, sam]);
  expect(selection.decisions.every(({ reason }) => reason.length > 0)).toBe(true);
  expect(selection.fineTune).toEqual(fineTune);
});

test("masks only with detection asked for adapts both", () => {
  expect(selectTeachers(facts(false, true), { withDetection: true }).fineTune).toEqual(["grounding_dino", "sam"]);
});

test("data without boxes and masks is refused", () => {
  expect(() => selectTeachers(facts(false, false))).toThrow(
    expect.objectContaining({ code: "teachers/no-trainable-data", images: 3, instances: 9 }),
  );
});
