import { mask as maskAlgebra } from "@seg/coco-dataset";
import { samMaskToImage } from "@seg/preprocess";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { bitmapIou } from "./baselines.js";
import { parseSamConfig } from "./config.js";
import { predictInstanceMasks, samPixels } from "./predict.js";
import { Sam } from "./sam.js";
import { maskTarget } from "./targets.js";
import { tinySamConfig } from "./tiny-config.js";
import { cropImage, defaultZoom, placeWindow, SMALL_SAM_ZOOM, zoomedItems, zoomWindow } from "./zoom.js";

const image = { width: 60, height: 40, data: Uint8Array.from({ length: 60 * 40 * 3 }, (_, i) => (i * 37) % 251) };
const zoom = { context: 2, least: 12 };

describe("zoomWindow", () => {
  test("is centred on the box, at least 12 px, inside the image, and null where it would be all of it", () => {
    expect(zoomWindow([20, 10, 30, 20], image, zoom)).toEqual({ x: 15, y: 5, width: 20, height: 20 });
    expect(zoomWindow([29, 19, 31, 21], image, zoom)).toEqual({ x: 24, y: 14, width: 12, height: 12 });
    expect(zoomWindow([0, 36, 4, 40], image, zoom)).toEqual({ x: 0, y: 28, width: 12, height: 12 });
    expect(zoomWindow([10, 5, 36, 30], image, zoom)).toEqual({ x: 0, y: 0, width: 52, height: 40 });
    expect(zoomWindow([0, 0, 30, 10], image, zoom)).toBeNull();
  });

  test("contains its box, whole pixels, never outside of the image", () => {
    const coordinate = (most: number) => fc.double({ min: 0, max: most, noNaN: true });
    const box = fc.tuple(coordinate(60), coordinate(60), coordinate(40), coordinate(40));
    fc.assert(
      fc.property(box, ([a, b, c, d]) => {
        const [x1, x2, y1, y2] = [Math.min(a, b), Math.max(a, b), Math.min(c, d), Math.max(c, d)];
        const window = zoomWindow([x1, y1, x2, y2], image, zoom);
        if (window === null) return;
        const { x, y, width, height } = window;
        expect([x, y, width, height].every(Number.isInteger)).toBe(true);
        expect(x >= 0 && y >= 0 && x + width <= 60 && y + height <= 40).toBe(true);
        expect(x1 >= x && y1 >= y && x2 <= x + width && y2 <= y + height).toBe(true);
      }),
    );
  });
});

describe("zoomedItems", () => {
  test("cuts image, box and mask; an instance without a mask is left out", () => {
    const pixels = new Uint8Array(60 * 40);
    for (let y = 12; y < 18; y++) pixels.fill(1, y * 60 + 22, y * 60 + 28);
    const mask = maskAlgebra.encode(pixels, 40, 60);
    const instance = { classId: 3, box: [22, 12, 28, 18] as const, mask };
    const [item, ...others] = zoomedItems([{ image, instances: [instance, { classId: 1, box: [0, 0, 9, 9] }] }], zoom);
    expect(others).toEqual([]);
    expect(item!.image).toEqual(cropImage(image, { x: 19, y: 9, width: 12, height: 12 }));
    expect(item!.image.data[0]).toBe(image.data[3 * (9 * 60 + 19)]);
    expect(item!.instances).toMatchObject([{ classId: 3, box: [3, 3, 9, 9] }]);
    const inside = maskAlgebra.decode(item!.instances[0]!.mask!);
    expect([maskAlgebra.area(item!.instances[0]!.mask!), inside[3 * 12 + 3], inside[3 * 12 + 2]]).toEqual([36, 1, 0]);
  });
});

describe("placeWindow", () => {
  const whole = samPixels(image, 64).geometry;

  test("the window of the whole image on its own grid changes nothing", () => {
    const logits = Float32Array.from({ length: 32 * 32 }, (_, i) => Math.sin(i));
    const window = { x: 0, y: 0, width: 60, height: 40 };
    const placed = placeWindow({ logits, side: 32, window, placed: whole, whole, grid: 32 });
    // Rows below the content (40 of 60 px) are padding, not window.
    for (let y = 0; y < 21; y++) {
      for (let x = 0; x < 32; x++) expect(placed[y * 32 + x]).toBeCloseTo(logits[y * 32 + x]!, 5);
    }
    expect(placed[31 * 32]).toBe(-20);
  });

  test("a disc seen in a window comes back to its place on the image", () => {
    const window = { x: 21, y: 7, width: 20, height: 20 };
    const disc = Uint8Array.from({ length: 60 * 40 }, (_, i) =>
      Number((((i % 60) - 30.5) / 6) ** 2 + ((Math.floor(i / 60) - 16.5) / 4) ** 2 <= 1),
    );
    const [item] = zoomedItems(
      [{ image, instances: [{ classId: 0, box: [24, 12, 37, 21], mask: maskAlgebra.encode(disc, 40, 60) }] }],
      { context: 20 / 13, least: 1 },
    );
    const { geometry } = samPixels(item!.image, 64);
    expect([geometry.origW, geometry.origH]).toEqual([20, 20]);
    const seen = maskTarget({
      pixels: maskAlgebra.decode(item!.instances[0]!.mask!),
      geometry,
      side: 32,
    }).map((v) => v - 0.5);
    const grid = placeWindow({ logits: seen, side: 32, window, placed: geometry, whole, grid: 64 });
    expect(bitmapIou(samMaskToImage(grid, 64, whole), disc)).toBeGreaterThan(0.97);
  });
});

describe("predictInstanceMasks with zoom", () => {
  beforeAll(async () => {
    await tf.setBackend("cpu");
  });

  const sam = new Sam(
    parseSamConfig({
      vision_config: {
        hidden_size: 16,
        output_channels: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        image_size: 32,
        patch_size: 8,
        window_size: 0,
        num_pos_feats: 8,
        mlp_dim: 16,
      },
      prompt_encoder_config: { hidden_size: 16, mask_input_channels: 8 },
      mask_decoder_config: { hidden_size: 16, mlp_dim: 16, num_attention_heads: 2, iou_head_hidden_dim: 16 },
    }),
    { seed: 1 },
  );
  const boxes = [
    [4, 4, 10, 10],
    [0, 0, 59, 39],
    [40, 20, 50, 30],
  ] as const;

  test("small boxes see their window, large ones the image, in the order asked, on a finer grid", async () => {
    const zoomed = await predictInstanceMasks({ sam, image, boxes, zoom });
    const plain = await predictInstanceMasks({ sam, image, boxes });
    expect([zoomed.side, plain.side]).toEqual([64, 16]);
    expect(zoomed.iou[1]).toBeCloseTo(plain.iou[1]!, 6);
    expect(zoomed.iou[0]).not.toBeCloseTo(plain.iou[0]!, 6);
    const window = zoomWindow(boxes[2], image, zoom)!;
    const crop = cropImage(image, window);
    const alone = await predictInstanceMasks({ sam, image: crop, boxes: [[5, 5, 15, 15]] });
    expect(zoomed.iou[2]).toBeCloseTo(alone.iou[0]!, 5);
    // Far from a window nothing is the object.
    expect(zoomed.logits[0]!.at(-1)).toBe(-20);
  });

  test("without a small box it is the same as without zoom", async () => {
    const one = { sam, image, boxes: [boxes[1]] };
    expect(await predictInstanceMasks({ ...one, zoom })).toEqual(await predictInstanceMasks(one));
    expect((await predictInstanceMasks({ sam, image, boxes: [], zoom })).logits).toEqual([]);
  });

  test("models of 512 px and more see enough without", () => {
    expect(defaultZoom(sam)).toBe(SMALL_SAM_ZOOM);
    expect(defaultZoom({ config: parseSamConfig({}) } as Sam)).toBeNull();
    expect(tinySamConfig("g").vision.imageSize).toBeLessThan(512);
  });
});
