import { expect, test } from "vitest";
import { selectTeachers } from "./select-teachers.js";

const facts = (hasBoxes: boolean, hasMasks: boolean) => ({ hasBoxes, hasMasks, numImages: 3, numAnnotations: 9 });

test.each([
  ["boxes only", true, false, "fine-tune", "none", []],
  ["masks only", false, true, "zero-shot", "fine-tune", ["sam"]],
  ["both", true, true, "fine-tune", "fine-tune", ["sam"]],
])("%s", (_name, boxes, masks, detector, sam, usable) => {
  const selection = selectTeachers(facts(boxes, masks));
  expect(selection.decisions.map(({ wanted }) => wanted)).toEqual([detector, sam]);
  expect(selection.usable).toEqual(usable);
  expect(selection.unavailable.map(({ teacher }) => teacher)).toEqual(["grounding_dino"]);
  expect(selection.unavailable[0]!.reason).toMatch(/not available in this version/);
});

test("data without boxes and masks is refused", () => {
  expect(() => selectTeachers(facts(false, false))).toThrow(
    expect.objectContaining({ code: "teachers/no-trainable-data", images: 3, instances: 9 }),
  );
});
