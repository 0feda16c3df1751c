import { describe, expect, test } from "vitest";
import { cxcywhToXyxy, xyxyToCxcywh } from "./box-formats.js";
import { buildCaption } from "./build-caption.js";
import { mapBoxToImage } from "./geometry.js";
import { letterboxGeometry } from "./letterbox.js";
import { mapBoxesToImage, transferBoxes } from "./map-boxes.js";
import { nearestName } from "./nearest-name.js";
import { inverseOrientation, orientPoint, swapsSides } from "./orientation.js";
import { decodeNormalizedBoxes, groundingDinoGeometry } from "./prepare-grounding-dino.js";
import { samGeometry } from "./prepare-sam.js";
import { scaleBoxesCompat } from "./scale-boxes-compat.js";

describe("buildCaption", () => {
  test.each([
    [["Cat", " Remote Control "], "cat. remote control."],
    [["bag."], "bag."],
  ])("%j -> %s", (classes, caption) => {
    expect(buildCaption(classes)).toBe(caption);
  });
  test.each([[[]], [["a", " "]]])("refuses %j", (classes) => {
    expect(() => buildCaption(classes)).toThrowError(expect.objectContaining({ code: "config_invalid" }));
  });
});

describe("box formats", () => {
  test("are explicit and invert each other", () => {
    expect(xyxyToCxcywh([1, 2, 5, 10])).toEqual([3, 6, 4, 8]);
    expect(cxcywhToXyxy([3, 6, 4, 8])).toEqual([1, 2, 5, 10]);
  });
});

describe("scaleBoxesCompat", () => {
  test("clips, and differs from the geometry by less than a pixel", () => {
    expect(scaleBoxesCompat([[-5, 80, 640, 560]], [640, 640], [480, 640])).toEqual([[0, 0, 640, 480]]);
    for (const [w, h] of [
      [640, 427],
      [500, 333],
      [1242, 375],
    ] as const) {
      const geometry = letterboxGeometry(w, h);
      const [compat] = scaleBoxesCompat([[100, 250, 600, 380]], [640, 640], [h, w]);
      mapBoxToImage([100, 250, 600, 380], geometry).forEach((value, i) => {
        expect(Math.abs(value - compat![i]!)).toBeLessThan(1);
      });
    }
  });
});

describe("transferBoxes", () => {
  test("Grounding DINO's output becomes a SAM prompt, by hand", () => {
    const image = { width: 640, height: 427 };
    const dino = groundingDinoGeometry(image);
    const sam = samGeometry(image);
    // (0.5, 0.5, 0.25, 0.5) of 640 x 427 is x 240..400, y 106.75..320.25; SAM's content is 1024 x 683.
    const [box] = decodeNormalizedBoxes([0.5, 0.5, 0.25, 0.5], dino);
    expect(box).toEqual([240, 106.75, 400, 320.25]);
    const onDino = [(240 * 1199) / 640, (106.75 * 800) / 427, (400 * 1199) / 640, (320.25 * 800) / 427] as const;
    const [prompt] = transferBoxes([onDino], dino, sam);
    expect(prompt!.outside).toBe(false);
    [384, (106.75 * 683) / 427, 640, (320.25 * 683) / 427].forEach((value, i) => {
      expect(Math.abs(prompt!.box[i]! - value)).toBeLessThan(1e-9);
    });
  });
  test("a box in the padding is marked, not removed", () => {
    const geometry = letterboxGeometry(640, 320, { size: 320 });
    expect(mapBoxesToImage([[0, 0, 320, 40]], geometry)).toEqual([{ box: [0, 0, 640, 0], outside: true }]);
    expect(mapBoxesToImage([], geometry)).toEqual([]);
  });
});

describe("inverseOrientation", () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8] as const)("%i: upright points go back to the file", (orientation) => {
    const [w, h] = [7, 4];
    const [u, v] = orientPoint([1.5, 3], orientation, w, h);
    const upright = swapsSides(orientation) ? ([h, w] as const) : ([w, h] as const);
    expect(orientPoint([u, v], inverseOrientation(orientation), ...upright)).toEqual([1.5, 3]);
  });
});

describe("nearestName", () => {
  test("counts edits, case aside", () => {
    expect(nearestName("imagesize", ["stride", "imageSize"])).toBe("imageSize");
    expect(nearestName("x", [])).toBeNull();
  });
});
