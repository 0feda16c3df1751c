import { createHash } from "node:crypto";
import { CounterRandom } from "@seg/augment";
import { describe, expect, test } from "vitest";
import { BAG_CLASSES, bagScene } from "./bag-world.js";
import { maskArea, maskBox } from "./canvas.js";
import { type Scene, shapeScene } from "./shape-world.js";
import { drawShape, SHAPE_KINDS } from "./shapes.js";

const digest = ({ image, instances }: Scene) => {
  const hash = createHash("sha256").update(image.data);
  for (const { mask } of instances) hash.update(mask);
  return hash.digest("hex");
};

describe.each([
  ["shapeScene", shapeScene],
  ["bagScene", bagScene],
])("%s", (_name, scene) => {
  test("the same key gives the same bytes, every other key others", () => {
    const key = { seed: 5, split: "train", index: 3 } as const;
    expect(digest(scene(key))).toBe(digest(scene(key)));
    const all = [
      scene(key),
      scene({ ...key, index: 4 }),
      scene({ ...key, seed: 6 }),
      scene({ ...key, split: "held-out" }),
    ];
    expect(new Set(all.map(digest)).size).toBe(4);
  });

  test("boxes are tight and masks are not empty", () => {
    for (let index = 0; index < 20; index++) {
      const { image, instances } = scene({ seed: 0, split: "train", index, side: 96 });
      expect(image.data).toHaveLength(96 * 96 * 3);
      for (const { mask, box } of instances) {
        expect(maskBox(mask, 96)).toEqual(box);
        expect(maskArea(mask)).toBeGreaterThanOrEqual(12);
      }
    }
  });
});

test("shape scenes hold both occlusions and decals inside whole parents", () => {
  let overlapping = 0;
  let count = 0;
  for (let index = 0; index < 60; index++) {
    const { instances } = shapeScene({ seed: 0, split: "train", index });
    count += instances.length;
    for (const [i, a] of instances.entries()) {
      for (const b of instances.slice(i + 1))
        if (b.mask.some((inside, k) => inside === 1 && a.mask[k] === 1)) overlapping++;
    }
  }
  expect(count / 60).toBeGreaterThan(3.5);
  expect(count / 60).toBeLessThan(7);
  // Only a decal shares pixels with another object.
  expect(overlapping / count).toBeGreaterThan(0.12);
  expect(overlapping / count).toBeLessThan(0.35);
});

test("every bag scene has a bag that contains its labels", () => {
  for (let index = 0; index < 15; index++) {
    const { instances } = bagScene({ seed: 0, split: "held-out", index });
    const bag = instances.find(({ kind }) => kind === "bag")!;
    for (const { kind, mask } of instances) {
      expect(BAG_CLASSES).toContain(kind);
      if (kind === "label") expect(mask.every((inside, k) => inside === 0 || bag.mask[k] === 1)).toBe(true);
    }
  }
});

test("every figure lies within 1.45 units of its centre and has area", () => {
  for (const kind of SHAPE_KINDS) {
    const inside = drawShape(kind, new CounterRandom({ seed: 0, path: kind }));
    let hits = 0;
    for (let v = -2; v <= 2; v += 0.05) {
      for (let u = -2; u <= 2; u += 0.05) {
        if (!inside(u, v)) continue;
        hits++;
        expect(Math.hypot(u, v)).toBeLessThan(1.45);
      }
    }
    expect(hits * 0.0025).toBeGreaterThan(0.2);
  }
});
