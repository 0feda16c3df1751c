import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { isHeldOutCombination } from "./attributes.js";
import { maskArea, maskBox } from "./canvas.js";
import { detectorPrompt, PHRASE_WORDS } from "./detector-prompts.js";
import { type DetectorSceneKey, detectorScene } from "./detector-world.js";
import { SHAPE_KINDS } from "./shapes.js";
import { COLOUR_KINDS, TEXTURE_KINDS } from "./surface.js";

const SPLITS = ["train", "held-out", "combinations"] as const;
const keys = (split: DetectorSceneKey["split"], count: number): DetectorSceneKey[] =>
  Array.from({ length: count }, (_, index) => ({ seed: 0, split, index, side: 96 }));

describe("isHeldOutCombination", () => {
  test("holds out about a ninth of colours with shapes and a seventh of textures with shapes", () => {
    const colours = SHAPE_KINDS.flatMap((shape) =>
      COLOUR_KINDS.map((colour) => isHeldOutCombination({ colour, shape })),
    );
    const textures = SHAPE_KINDS.flatMap((shape) =>
      TEXTURE_KINDS.slice(1).map((texture) => isHeldOutCombination({ texture, shape })),
    );
    const share = (list: boolean[]) => list.filter(Boolean).length / list.length;
    expect(share(colours)).toBeCloseTo(1 / 9, 1);
    expect(share(textures)).toBeCloseTo(1 / 7, 1);
    expect(isHeldOutCombination({ colour: "red" })).toBe(false);
    expect(SHAPE_KINDS.some((shape) => isHeldOutCombination({ texture: "plain", shape }))).toBe(false);
  });
});

describe("detectorScene", () => {
  test("the same key gives the same bytes, every other key others", () => {
    const hashes = [
      ...SPLITS.map((split) => ({ seed: 1, split, index: 2 })),
      { seed: 1, split: "train", index: 3 } as const,
    ].map((key) => {
      const digest = () => createHash("sha256").update(detectorScene(key).image.data).digest("hex");
      expect(digest()).toBe(digest());
      return digest();
    });
    expect(new Set(hashes).size).toBe(4);
  });

  test("training never draws a held-out pair, the split of combinations always does", () => {
    for (const split of SPLITS) {
      const held = keys(split, 25).map((key) =>
        detectorScene(key).instances.filter((object) => isHeldOutCombination(object)),
      );
      if (split === "combinations") expect(held.every((objects) => objects.length > 0)).toBe(true);
      else expect(held.flat()).toEqual([]);
    }
  });

  test("boxes are tight around disjoint visible parts", () => {
    for (const key of keys("train", 10)) {
      const { instances } = detectorScene(key);
      const seen = new Uint8Array(96 * 96);
      for (const { mask, box } of instances) {
        expect(maskBox(mask, 96)).toEqual(box);
        expect(maskArea(mask)).toBeGreaterThanOrEqual(24);
        for (let i = 0; i < mask.length; i++) if (mask[i] === 1) seen[i]! += 1;
      }
      expect(Math.max(...seen)).toBeLessThanOrEqual(1);
    }
  });
});

describe("detectorPrompt", () => {
  test("labels exactly the objects whose attributes a phrase names", () => {
    for (const split of SPLITS) {
      for (const key of keys(split, 15)) {
        const scene = detectorScene(key);
        const { phrases, objects } = detectorPrompt(scene, key);
        for (const [i, { colour, texture, shape }] of phrases.entries()) {
          const expected = scene.instances.filter(
            (o) =>
              (colour ?? o.colour) === o.colour &&
              (texture ?? o.texture) === o.texture &&
              (shape ?? o.shape) === o.shape,
          );
          expect(objects.filter(({ phrase }) => phrase === i).map(({ box }) => box)).toEqual(
            expected.map(({ box }) => box),
          );
        }
        expect(new Set(objects.map(({ box }) => box.join())).size).toBe(objects.length);
        expect(new Set(phrases.map(({ text }) => text)).size).toBe(phrases.length);
      }
    }
  });

  test("asks for held-out pairs in the split of combinations only, in known words", () => {
    let positives = 0;
    let negatives = 0;
    for (const split of SPLITS) {
      for (const key of keys(split, 30)) {
        const { phrases, objects } = detectorPrompt(detectorScene(key), key);
        for (const [i, phrase] of phrases.entries()) {
          expect(isHeldOutCombination(phrase)).toBe(split === "combinations");
          for (const word of phrase.text.split(" ")) expect(PHRASE_WORDS).toContain(word);
          if (objects.some((object) => object.phrase === i)) positives++;
          else negatives++;
        }
      }
    }
    expect(negatives).toBeGreaterThan(30);
    expect(positives).toBeGreaterThan(negatives);
  });

  test("another draw is another prompt for the same scene", () => {
    const key = keys("train", 1)[0]!;
    const scene = detectorScene(key);
    const texts = new Set(
      [0, 1, 2, 3].map((draw) =>
        detectorPrompt(scene, key, draw)
          .phrases.map((p) => p.text)
          .join(),
      ),
    );
    expect(texts.size).toBeGreaterThan(1);
    expect(detectorPrompt(scene, key, 2)).toEqual(detectorPrompt(scene, key, 2));
  });
});
