import type { CocoDataset, CocoResult } from "../src/document.js";

/** The synthetic set of the specification: a linear congruential generator draws boxes and their distorted detections. */
export function goldenSet(): { groundTruth: CocoDataset; detections: CocoResult[] } {
  let state = 1;
  const n = (k: number) => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return Math.floor(state / 65536) % k;
  };
  const annotations: CocoDataset["annotations"][number][] = [];
  const detections: CocoResult[] = [];
  for (let image = 1; image <= 20; image++) {
    for (let count = n(6); count > 0; count--) {
      const [x, y, w, h] = [n(120), n(120), 4 + n(76), 4 + n(76)] as const;
      const category = 1 + n(3);
      const iscrowd = n(20) === 0 ? 1 : 0;
      annotations.push({
        id: annotations.length + 1,
        image_id: image,
        category_id: category,
        bbox: [x, y, w, h],
        area: w * h,
        iscrowd,
      });
      for (let repeat = n(3); repeat > 0; repeat--) {
        const [dx, dy, dw, dh] = [n(9) - 4, n(9) - 4, n(9) - 4, n(9) - 4] as const;
        const category_id = n(8) !== 0 ? category : 1 + n(3);
        const box = [x + dx, y + dy, Math.max(1, w + dw), Math.max(1, h + dh)];
        detections.push({ image_id: image, category_id, bbox: box, score: n(100) / 100 });
      }
    }
    if (n(3) === 0) {
      const category_id = 1 + n(3);
      const box = [n(120), n(120), 5 + n(60), 5 + n(60)];
      detections.push({ image_id: image, category_id, bbox: box, score: n(100) / 100 });
    }
  }
  const images = Array.from({ length: 20 }, (_, i) => ({
    id: i + 1,
    width: 200,
    height: 200,
    file_name: `${i + 1}.jpg`,
  }));
  const categories = [1, 2, 3].map((id) => ({ id, name: `${id}` }));
  return { groundTruth: { images, categories, annotations }, detections };
}

/** The rhombus inscribed in a `[x, y, width, height]` box. */
export function diamond([x = 0, y = 0, w = 0, h = 0]: readonly number[]): number[][] {
  return [[x + w / 2, y, x + w, y + h / 2, x + w / 2, y + h, x, y + h / 2]];
}
