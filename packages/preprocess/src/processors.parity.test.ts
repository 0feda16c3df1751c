import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { PROCESSORS, readTensors, sha256 } from "../test/support.js";
import { type DecodedImage, decodeImage } from "./decode-image.js";
import { letterbox } from "./letterbox.js";
import type { PillowFilter } from "./pillow-coefficients.js";
import { prepareGroundingDino } from "./prepare-grounding-dino.js";
import { prepareSam } from "./prepare-sam.js";
import { resizeCv2Linear } from "./resize-cv2.js";
import { resizePillow } from "./resize-pillow.js";
import { groundingDinoSize, samSize } from "./sizes.js";

interface Expected {
  images: Record<string, unknown>;
  full_size: Record<string, { resized_hw?: [number, number]; resized_sha256?: string }>;
  resize: Record<string, { hw: [number, number]; sha256: string }>;
  sam: { longest_edge: number };
  gdino: { shortest_edge: number; longest_edge: number };
}

/** Fixture `image-processors` (Pillow 12.3, OpenCV 5.0, transformers 4.57). Pixels must be equal, not close. */
describe.skipIf(!existsSync(join(PROCESSORS, "expected.json")))("image-processors fixture", () => {
  let expected: Expected;
  const pictures = new Map<string, DecodedImage>();
  beforeAll(async () => {
    expected = JSON.parse(readFileSync(join(PROCESSORS, "expected.json"), "utf8")) as Expected;
    for (const name of Object.keys(expected.images)) {
      pictures.set(name, await decodeImage(join(PROCESSORS, "images", name)));
    }
  });
  /** Names end with the picture's file name, which itself has a dot. */
  const parse = (name: string) => {
    const parts = name.split(".");
    return { head: parts.slice(0, -2), picture: pictures.get(parts.slice(-2).join("."))! };
  };

  test("full-size SAM and Grounding DINO pixels", () => {
    let compared = 0;
    for (const [name, { resized_hw, resized_sha256 }] of Object.entries(expected.full_size)) {
      const { head, picture } = parse(name);
      if (head[1] !== "slow" || picture === undefined || resized_hw === undefined) continue;
      const size =
        head[0] === "sam" ? samSize(picture.width, picture.height) : groundingDinoSize(picture.width, picture.height);
      expect([size[1], size[0]], name).toEqual(resized_hw);
      expect(sha256(resizePillow(picture, size[0], size[1]).data), name).toBe(resized_sha256);
      compared++;
    }
    expect(compared).toBe(12);
  });

  test("Pillow filters, cv2 INTER_LINEAR and letterboxes, by hash", () => {
    const compared: Record<string, number> = {};
    for (const [name, { hw, sha256: hash }] of Object.entries(expected.resize)) {
      const { head, picture } = parse(name);
      const [kind, filter] = head;
      let data: Uint8Array;
      if (kind === "pil") data = resizePillow(picture, hw[1], hw[0], { filter: filter as PillowFilter }).data;
      else if (kind === "cv2" && filter === "linear") data = resizeCv2Linear(picture, hw[1], hw[0]).data;
      else if (kind === "letterbox") data = letterbox(picture, { size: { width: hw[1], height: hw[0] } }).image.data;
      else continue;
      expect(sha256(data), name).toBe(hash);
      const family = kind === "letterbox" ? kind : `${kind}.${filter}`;
      compared[family] = (compared[family] ?? 0) + 1;
    }
    expect(Object.keys(compared).sort()).toEqual([
      "cv2.linear",
      "letterbox",
      "pil.bicubic",
      "pil.bilinear",
      "pil.box",
      "pil.lanczos",
      "pil.nearest",
    ]);
  });

  test("small resized pixels: equal to the slow processors, within one level of the fast ones", () => {
    const { sam, gdino } = expected;
    for (const [name, { shape, data }] of readTensors(join(PROCESSORS, "resized_small.safetensors"))) {
      const { head, picture } = parse(name);
      const size =
        head[0] === "sam"
          ? samSize(picture.width, picture.height, sam.longest_edge)
          : groundingDinoSize(picture.width, picture.height, {
              shortestEdge: gdino.shortest_edge,
              longestEdge: gdino.longest_edge,
            });
      expect([size[1], size[0], 3], name).toEqual(shape);
      const resized = resizePillow(picture, size[0], size[1]).data;
      let worst = 0;
      for (let i = 0; i < data.length; i++) worst = Math.max(worst, Math.abs(data[i]! - resized[i]!));
      // The fast processors resample RGBA with four channels (alpha.png), the same colours up to one level.
      expect(worst, name).toBeLessThanOrEqual(head[1] === "slow" ? 0 : 1);
    }
  });

  test("final tensors within 1e-5", () => {
    const { sam, gdino } = expected;
    let compared = 0;
    for (const [name, { shape, data }] of readTensors(join(PROCESSORS, "pixel_values.safetensors"))) {
      if (!name.includes(".slow.")) continue;
      const { head, picture } = parse(name.replace(/\.pixel_values$/, ""));
      const prepared =
        head[0] === "sam"
          ? prepareSam(picture, { size: sam.longest_edge })
          : prepareGroundingDino(picture, { shortestEdge: gdino.shortest_edge, longestEdge: gdino.longest_edge });
      expect([3, prepared.geometry.netH, prepared.geometry.netW], name).toEqual(shape);
      let worst = 0;
      for (let i = 0; i < data.length; i++) worst = Math.max(worst, Math.abs(data[i]! - prepared.data[i]!));
      expect(worst, name).toBeLessThan(1e-5);
      compared++;
    }
    expect(compared).toBe(4);
  });
});
