import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CocoDataset, createClassMapping } from "@seg/coco-dataset";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeSyntheticSet } from "../test/synthetic.js";
import { evaluateStudent, loadEvaluationSet } from "./evaluate-student.js";
import type { Predictor } from "./predictor.js";

let dir: string;
let dataset: CocoDataset;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "seg-eval-"));
  dataset = await writeSyntheticSet({ dir, count: 3, side: 64, seed: 3 });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Answers every image with its annotations, moved by `shift` pixels; prototypes 0 and 1 are the masks of the two objects. */
function oracle(
  shift: number,
  { masks = true, batch }: { masks?: boolean; batch: number },
): Predictor & { calls: number[][] } {
  const channels = masks ? 4 + 2 + 2 : 6;
  const order = dataset.images.map(({ id }) => id);
  let next = 0;
  return {
    calls: [],
    async run(images, count, imgsz) {
      this.calls.push([images.length, count, imgsz]);
      const cells = imgsz / 4;
      const output0 = { data: new Float32Array(batch * channels * 2), dims: [batch, channels, 2] };
      const output1 = { data: new Float32Array(batch * 2 * cells * cells).fill(-1), dims: [batch, 2, cells, cells] };
      for (let b = 0; b < batch; b++) {
        const id = order[next++];
        const objects = dataset.annotations.filter(({ image_id }) => image_id === id);
        objects.forEach(({ bbox, category_id }, a) => {
          const [x, y, w, h] = bbox as [number, number, number, number];
          const put = (c: number, v: number) => {
            output0.data[(b * channels + c) * 2 + a] = v;
          };
          for (const [c, v] of [x + shift + w / 2, y + h / 2, w, h].entries()) put(c, v);
          put(4 + (category_id === 4 ? 0 : 1), 0.9);
          if (!masks) return;
          put(6 + a, 1);
          for (let i = 0; i < cells; i++) {
            for (let j = 0; j < cells; j++) {
              const [dx, dy] = [4 * j + 2 - x, 4 * i + 2 - y];
              const inside = dx >= 0 && dx < w && dy >= 0 && dy < h && (category_id === 4 || dy >= dx);
              if (inside) output1.data[((b * 2 + a) * cells + i) * cells + j] = 1;
            }
          }
        });
      }
      return masks ? { output0, output1 } : { output0 };
    },
    dispose: async () => {},
  };
}

describe("evaluateStudent", () => {
  test("perfect boxes score 1, whatever the batch size", async () => {
    for (const batch of [1, 2]) {
      const predictor = oracle(0, { batch });
      const { metrics, maskIoU, detections, skipped } = await evaluateStudent({
        predictor,
        dataset,
        imagesDir: dir,
        imgsz: 64,
        batch,
      });
      expect(metrics["mAP50-95"]).toBeCloseTo(1, 10);
      expect([metrics["precision"], metrics["recall"], metrics["mask_mAP50"]]).toEqual([1, 1, 1]);
      // Masks come from a quarter-size grid: edges are off by up to two pixels.
      expect(maskIoU!.meanMaskIoU).toBeGreaterThan(0.75);
      expect([detections.length, skipped.length]).toEqual([6, 0]);
      expect(predictor.calls[0]).toEqual([batch * 3 * 64 * 64, batch, 64]);
    }
  });

  test("a shift lowers the strict thresholds first; a detector has no mask metrics", async () => {
    const predictor = oracle(4, { batch: 1, masks: false });
    const { metrics, segm, maskIoU } = await evaluateStudent({ predictor, dataset, imagesDir: dir, imgsz: 64 });
    expect(metrics["mAP50"]).toBe(1);
    expect(metrics["mAP50-95"]).toBeLessThan(0.7);
    expect([segm, maskIoU, metrics["mask_IoU"]]).toEqual([null, null, undefined]);
  });

  test("names a broken image, an empty split and another mapping", async () => {
    const input = { dataset, imagesDir: dir, imgsz: 64 };
    const broken: CocoDataset = {
      ...dataset,
      images: dataset.images.map((image) => (image.id === 2 ? { ...image, file_name: "broken.jpg" } : image)),
    };
    writeFileSync(join(dir, "broken.jpg"), Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 0, 16));
    await expect(loadEvaluationSet({ ...input, dataset: broken })).rejects.toMatchObject({
      code: "distill/bad-image",
      file: join(dir, "broken.jpg"),
    });
    const rest = await loadEvaluationSet({ ...input, dataset: broken, onBadImage: "skip" });
    expect([rest.images.length, rest.dataset.annotations.length, rest.skipped.length]).toEqual([2, 4, 1]);
    const empty = { ...dataset, images: [], annotations: [] };
    await expect(loadEvaluationSet({ ...input, dataset: empty })).rejects.toMatchObject({
      code: "distill/empty-split",
    });
    const mapping = createClassMapping({ ...dataset, categories: [{ id: 4, name: "circle" }] });
    await expect(loadEvaluationSet({ ...input, mapping })).rejects.toMatchObject({
      code: "distill/class-mapping-mismatch",
    });
  });
});
