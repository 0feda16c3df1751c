import { renderOverlay } from "@seg/coco-dataset/preview";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { sideBySide } from "./side-by-side.js";

describe("sideBySide", () => {
  test("puts pictures of different sizes at one height", async () => {
    const image = { width: 640, height: 480, data: new Uint8Array(640 * 480 * 3).fill(128) };
    const bytes = await renderOverlay({ image, instances: [] });
    const both = await sharp(
      await sideBySide({
        images: [
          { title: "truth", bytes },
          { title: "<b>", bytes },
        ],
        height: 120,
      }),
    ).metadata();
    expect([both.width, both.height]).toEqual([2 * 160 + 3 * 8, 120 + 28 + 8]);
    await expect(sideBySide({ images: [] })).rejects.toMatchObject({ code: "cli/side-by-side" });
  });
});
