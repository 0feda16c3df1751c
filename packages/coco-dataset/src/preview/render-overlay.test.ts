import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { mask } from "../mask/index.js";
import type { RgbImage } from "../types.js";
import { classColor, textColorOn } from "./class-color.js";
import { type LabelRequest, placeLabels } from "./place-labels.js";
import { type OverlayInstance, renderOverlay } from "./render-overlay.js";
import { fitText, textWidth } from "./text-width.js";

const gray = (width: number, height: number): RgbImage => ({
  width,
  height,
  data: new Uint8Array(width * height * 3).fill(128),
});

async function pixelsOf(bytes: Uint8Array) {
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
  const at = (x: number, y: number) => [
    ...data.subarray((y * info.width + x) * info.channels, (y * info.width + x) * info.channels + 3),
  ];
  return { at, ...info };
}

const rectangleMask = (height: number, width: number, [x1, y1, x2, y2]: readonly [number, number, number, number]) => {
  const bitmap = new Uint8Array(height * width);
  for (let y = y1; y < y2; y++) bitmap.fill(1, y * width + x1, y * width + x2);
  return mask.encode(bitmap, height, width);
};

const object = (extra: Partial<OverlayInstance> = {}): OverlayInstance => ({
  classId: 0,
  name: "cell",
  box: [200, 200, 300, 300],
  mask: rectangleMask(480, 640, [200, 200, 300, 300]),
  score: 0.93,
  ...extra,
});

describe("renderOverlay", () => {
  test("blends the class colour inside the mask, draws its contour, and leaves far pixels alone", async () => {
    const inner: OverlayInstance = object({ box: [150, 150, 350, 350] });
    const { at, width, height, channels } = await pixelsOf(
      await renderOverlay({ image: gray(640, 480), instances: [inner] }),
    );
    expect([width, height, channels]).toEqual([640, 480, 3]);
    // 128 * .62 + colour * .38
    expect(at(250, 250)).toEqual([79, 139, 167]);
    expect(at(200, 250)).toEqual([6, 157, 225]);
    expect(at(170, 250)).toEqual([128, 128, 128]);
    for (const [x, y] of [
      [0, 0],
      [639, 479],
      [20, 400],
      [600, 20],
    ] as const)
      expect(at(x, y)).toEqual([128, 128, 128]);
    expect(at(150, 250)).toEqual([0, 158, 230]);
  });

  test("changes nothing without objects", async () => {
    const image: RgbImage = { width: 640, height: 2, data: Uint8Array.from({ length: 3840 }, (_, i) => (i * 7) % 256) };
    const { data } = await sharp(await renderOverlay({ image, instances: [] }))
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect(Buffer.from(image.data).equals(data)).toBe(true);
  });

  test("enlarges small pictures to 480 px and scales masks and boxes with them", async () => {
    const small = object({ box: [24, 24, 72, 72], mask: rectangleMask(96, 96, [24, 24, 72, 72]) });
    const { at, width, height } = await pixelsOf(await renderOverlay({ image: gray(96, 96), instances: [small] }));
    expect([width, height]).toEqual([480, 480]);
    expect(at(240, 240)).toEqual([79, 139, 167]);
    expect(at(60, 240)).toEqual([128, 128, 128]);
  });

  test("keeps the longest side within maxSide, also of extreme shapes", async () => {
    const wide = await pixelsOf(await renderOverlay({ image: gray(2000, 500), instances: [], maxSide: 800 }));
    expect([wide.width, wide.height]).toEqual([800, 200]);
    const tall = await pixelsOf(
      await renderOverlay({ image: gray(3, 1200), instances: [object({ box: [0, 0, 3, 900], mask: undefined })] }),
    );
    expect([tall.width, tall.height]).toEqual([2, 960]);
  });

  test("draws hostile names as text: markup, control characters, lone surrogates, very long ones", async () => {
    for (const name of [
      "</text><script>alert(1)</script>",
      "a\u0000b\u001b",
      "\ud800",
      "x".repeat(5000),
      "",
      "赤血球 & <b>",
    ]) {
      const { width } = await pixelsOf(await renderOverlay({ image: gray(640, 480), instances: [object({ name })] }));
      expect(width).toBe(640);
    }
  });

  test("leaves out boxes that are not finite or lie outside", async () => {
    const bytes = await renderOverlay({
      image: gray(640, 480),
      instances: [
        object({ box: [Number.NaN, 0, 10, 10], mask: undefined }),
        object({ box: [700, 10, 900, 20], mask: undefined }),
        object({ box: [50, 50, 50, 50], mask: undefined }),
      ],
    });
    expect(Buffer.from(bytes).equals(Buffer.from(await renderOverlay({ image: gray(640, 480), instances: [] })))).toBe(
      true,
    );
  });

  test("gives the same bytes again and encodes JPEG on demand", async () => {
    const options = {
      image: gray(640, 480),
      instances: [object(), object({ classId: 1, box: [10, 10, 90, 90], mask: undefined })],
    };
    const [a, b] = [await renderOverlay(options), await renderOverlay(options)];
    expect(Buffer.from(a).equals(Buffer.from(b))).toBe(true);
    const jpeg = await renderOverlay({ ...options, format: "jpeg" });
    expect([...jpeg.subarray(0, 3)]).toEqual([0xff, 0xd8, 0xff]);
  });

  test("does not write into the image it is given", async () => {
    const image = gray(640, 480);
    await renderOverlay({ image, instances: [object()] });
    expect(image.data.every((value) => value === 128)).toBe(true);
  });

  test("refuses a mask of another size and an image whose data does not fill it", async () => {
    await expect(renderOverlay({ image: gray(64, 48), instances: [object()] })).rejects.toMatchObject({
      code: "coco/preview",
      reason: "mask",
    });
    await expect(
      renderOverlay({ image: { width: 4, height: 4, data: new Uint8Array(4) }, instances: [] }),
    ).rejects.toMatchObject({ code: "coco/preview", reason: "image" });
  });
});

describe("placeLabels", () => {
  test("keeps every label inside the picture and apart from the others while there is room", () => {
    const corners: LabelRequest[] = (
      [
        [0, 0, 40, 40],
        [560, 0, 640, 40],
        [560, 440, 640, 480],
        [0, 440, 40, 480],
        [300, 200, 340, 240],
        [300, 200, 340, 240],
      ] as const
    ).map((box) => ({ box, width: 90, height: 18 }));
    const places = placeLabels({ labels: corners, pictureWidth: 640, pictureHeight: 480 }).map((place) => place!);
    places.forEach((a, i) => {
      expect(a.x >= 0 && a.y >= 0 && a.x + a.width <= 640 && a.y + a.height <= 480).toBe(true);
      for (const b of places.slice(i + 1)) {
        expect(a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y).toBe(
          true,
        );
      }
    });
  });
});

describe("fitText", () => {
  test("cuts with an ellipsis and never exceeds the width", () => {
    expect(fitText("short", 10, 100)).toBe("short");
    expect(fitText("a rather long class name", 10, 60)).toBe("a rather…");
    expect(textWidth(fitText("赤血球赤血球赤血球", 10, 40), 10)).toBeLessThanOrEqual(40);
    expect(fitText("anything", 10, 3)).toBe("");
  });
});

describe("classColor", () => {
  test("differs for the first 40 classes and has readable text", () => {
    const colors = Array.from({ length: 40 }, (_, i) => classColor(i).join());
    expect(new Set(colors).size).toBe(40);
    expect(textColorOn([240, 228, 66])).toBe("#000");
    expect(textColorOn([20, 30, 90])).toBe("#fff");
  });
});
