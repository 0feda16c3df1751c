import { mask } from "@seg/coco-dataset";
import { expect, test } from "vitest";
import { PromptSampler } from "./prompt-sampler.js";

const item = (...classIds: number[]) => ({
  image: { width: 2, height: 1, data: new Uint8Array(6) },
  instances: classIds.map((classId) => ({ classId, box: [0, 0, 1, 1] as const, mask: mask.encode([1, 0], 1, 2) })),
});

test("prompts a rare class as often as a common one", () => {
  // Class 1 occurs once in ten images of class 0.
  const items = [...Array.from({ length: 9 }, () => item(0, 0, 0)), item(0, 0, 1)];
  const sampler = new PromptSampler(items, 0);
  const counts = [0, 0];
  const images = new Set<number>();
  for (let draw = 0; draw < 400; draw++) {
    const drawn = sampler.draw(draw, 2);
    images.add(drawn.item);
    expect(drawn.instances).toHaveLength(2);
    counts[items[drawn.item]!.instances[drawn.instances[0]!]!.classId]!++;
  }
  expect(counts).toEqual([200, 200]);
  expect(images.size).toBe(10);
});

test("repeats objects where there are fewer than prompts, and is a function of the draw", () => {
  const sampler = new PromptSampler([item(3)], 7);
  expect(sampler.draw(5, 4)).toMatchObject({ item: 0, instances: [0, 0, 0, 0] });
  expect(sampler.draw(5, 4).mirrored).toBe(sampler.draw(5, 4).mirrored);
});

test("counts instances without mask", () => {
  const bare = { image: item(0).image, instances: [{ classId: 0, box: [0, 0, 1, 1] as const }] };
  expect(new PromptSampler([item(0), bare], 0)).toMatchObject({ usable: 1, skipped: 1 });
});
