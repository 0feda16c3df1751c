import { mask } from "@seg/coco-dataset";
import { describe, expect, test } from "vitest";
import { cropInstance } from "./crop-instance.js";

describe("cropInstance", () => {
  test("leaves out what lies beside the region", () => {
    expect(cropInstance({ classId: 0, name: "a", box: [0, 0, 2, 2] }, [2, 0, 4, 4])).toBeNull();
  });

  test("moves and cuts box and mask", () => {
    // Rows 1 and 2, columns 1 to 3 of 4 x 5.
    const bitmap = Uint8Array.from({ length: 20 }, (_, i) =>
      Number([1, 2].includes(Math.floor(i / 5)) && i % 5 > 0 && i % 5 < 4),
    );
    const cut = cropInstance(
      { classId: 0, name: "a", score: 0.5, box: [1, 1, 4, 3], mask: mask.encode(bitmap, 4, 5) },
      [2, 0, 5, 2],
    );
    expect(cut).toMatchObject({ name: "a", score: 0.5, box: [0, 1, 2, 2] });
    expect([...mask.decode(cut!.mask!)]).toEqual([0, 0, 0, 1, 1, 0]);
  });
});
