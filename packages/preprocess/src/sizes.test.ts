import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { defaultConfig } from "./config.js";
import { mapBoxToImage, mapBoxToModel, mapPointsToImage, mapPointsToModel } from "./geometry.js";
import { MODEL_KEYS } from "./models.js";
import { planModel } from "./plan.js";
import { fitSize, groundingDinoSize, yoloBatchShape } from "./sizes.js";

describe("groundingDinoSize, variant idea", () => {
  test.each([
    [640, 480, 1066, 800],
    [1920, 1080, 1333, 750],
    [1000, 100, 1330, 133],
    [100, 1000, 133, 1330],
    [2000, 700, 1334, 467],
    [1242, 375, 1331, 402],
    [1200, 800, 1200, 800],
  ])("%i x %i -> %i x %i", (w, h, toW, toH) => {
    expect(groundingDinoSize(w, h, { variant: "idea" })).toEqual([toW, toH]);
  });
});

describe("fitSize", () => {
  test.each([
    [640, 480, [1066, 800]],
    [480, 640, [600, 800]],
    [1200, 800, [1200, 800]],
    [3000, 1000, [1200, 400]],
  ])("%i x %i in 1200 x 800 -> %j", (w, h, expected) => {
    expect(fitSize(w, h, { width: 1200, height: 800 })).toEqual(expected);
  });
  test("one side fills the canvas, none exceeds it", () => {
    const side = fc.integer({ min: 1, max: 3000 });
    fc.assert(
      fc.property(side, side, side, side, (w, h, width, height) => {
        try {
          const [toW, toH] = fitSize(w, h, { width, height });
          return toW <= width && toH <= height && (toW === width || toH === height);
        } catch (error) {
          return (error as { code?: string }).code === "content_too_small";
        }
      }),
      { numRuns: 2000, seed: 1 },
    );
  });
});

/** Observed with Ultralytics 8.4.190 (rect, imgsz 640, stride 32): the shape of each batch, as [width, height]. */
describe("yoloBatchShape", () => {
  test.each([
    [[[1242, 375]], [672, 224]],
    [[[1920, 1080]], [672, 384]],
    [[[500, 333]], [672, 448]],
    [[[640, 480]], [672, 512]],
    [[[640, 640]], [672, 672]],
    [[[333, 500]], [448, 672]],
    [
      [
        [1242, 375],
        [1920, 1080],
        [500, 333],
      ],
      [672, 448],
    ],
    [
      [
        [640, 427],
        [640, 640],
      ],
      [672, 672],
    ],
    [
      [
        [333, 500],
        [1242, 375],
      ],
      [672, 672],
    ],
  ] as [[number, number][], [number, number]][])("%j -> %j", (sizes, expected) => {
    expect(yoloBatchShape(sizes)).toEqual(expected);
  });
});

describe("every model", () => {
  const plans = MODEL_KEYS.map((model) => planModel(defaultConfig([model]), model));
  const rect = planModel({ ...defaultConfig(["yolov8"]), models: { yolov8: yolo("rect") } }, "yolov8");
  const valRect = planModel({ ...defaultConfig(["yolov8"]), models: { yolov8: yolo("val-rect") } }, "yolov8");
  const side = fc.integer({ min: 1, max: 4000 });
  const place = (plan: (typeof plans)[number], width: number, height: number) => {
    try {
      return plan.place({ width, height });
    } catch (error) {
      expect((error as { code?: string }).code).toBe("content_too_small");
      return null;
    }
  };

  test("fills its input with content and padding, or refuses the picture", () => {
    fc.assert(
      fc.property(side, side, fc.constantFrom(...plans, rect, valRect), (w, h, plan) => {
        const g = place(plan, w, h);
        if (g === null) return;
        expect([g.padL + g.contentW + g.padR, g.padT + g.contentH + g.padB]).toEqual([g.netW, g.netH]);
        expect(Math.min(g.padL, g.padT, g.padR, g.padB)).toBeGreaterThanOrEqual(0);
        expect(Math.min(g.contentW, g.contentH)).toBeGreaterThanOrEqual(1);
      }),
      { numRuns: 20_000, seed: 1 },
    );
  });

  test("inverse of forward is the point itself, within 1e-9 px", () => {
    const at = fc.double({ min: 0, max: 4000, noNaN: true });
    fc.assert(
      fc.property(side, side, at, at, fc.constantFrom(...plans, rect, valRect), (w, h, x, y, plan) => {
        const g = place(plan, w, h);
        if (g === null) return;
        const [px, py] = mapPointsToImage(mapPointsToModel([x, y], g), g);
        expect(Math.abs(px! - x)).toBeLessThan(1e-9);
        expect(Math.abs(py! - y)).toBeLessThan(1e-9);
        const box = [Math.min(x, w), Math.min(y, h), w, h] as const;
        mapBoxToImage(mapBoxToModel(box, g), g).forEach((value, i) => {
          expect(Math.abs(value - box[i]!)).toBeLessThan(1e-9);
        });
      }),
      { numRuns: 3000, seed: 1 },
    );
  });

  test("a picture that already has its size is left alone", () => {
    for (const plan of plans) {
      const [width, height] = plan.settings.family === "dino" ? [1200, 800] : inputOf(plan);
      const g = plan.place({ width, height });
      expect([g.contentW, g.contentH, g.scaleX, g.scaleY, g.padL, g.padT]).toEqual([width, height, 1, 1, 0, 0]);
    }
  });
});

function yolo(mode: "rect" | "val-rect") {
  return { imageSize: 640, mode, stride: 32, scaleup: true, center: true, scaleFill: false, padValue: 114 } as const;
}

function inputOf({ settings }: ReturnType<typeof planModel>): [number, number] {
  const { imageSize } = settings.options as { imageSize: number };
  return [imageSize, imageSize];
}
