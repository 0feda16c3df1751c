// node teacher-cache-child.ts FOLDER COUNT: asks a teacher about COUNT images, a line of JSON on stdout after every 100 and at the end.
import { join } from "node:path";
import process from "node:process";
import { CounterRandom } from "@seg/augment";
import type { Box } from "@seg/coco-dataset";
import { type DetectionTeacher, type MaskTeacher, prepareDistillation } from "@seg/distill";

const [folder = "", countText = ""] = process.argv.slice(2);
const count = Number(countText);
const SIDE = 256;
const OBJECTS = 4;

let calls = 0;
/** Five boxes whose places follow from the pixels. */
const detector: DetectionTeacher = {
  id: "bench detector",
  hash: "1",
  async detect({ data, width, height }) {
    calls += 1;
    const random = new CounterRandom({ seed: data[0]! + 256 * data[1]!, path: "boxes" });
    const boxes = Array.from({ length: OBJECTS }, (_, i): Box => {
      const [x, y] = [random.uniform(0, width / 4) + (i % 2) * (width / 2), (i >> 1) * (height / 2)];
      return [x, y, x + width / 4, y + height / 3];
    });
    const logits = Float32Array.from({ length: OBJECTS * 3 }, (_, i) => (i % 4 === 0 ? 2 : -3));
    return { boxes, logits };
  },
};
/** Logits as SAM has them: smooth, 256 x 256 for each box. */
const masks: MaskTeacher = {
  id: "bench masks",
  hash: "1",
  async predict({ width, height }, boxes) {
    calls += 1;
    const logits = boxes.map(([x1, y1, x2, y2]) => {
      const [cx, cy, r] = [((x1 + x2) / 2 / width) * SIDE, ((y1 + y2) / 2 / height) * SIDE, ((x2 - x1) / width) * SIDE];
      return Float32Array.from({ length: SIDE * SIDE }, (_, i) => (r - Math.hypot((i % SIDE) - cx, (i >> 8) - cy)) / 3);
    });
    return { logits, side: SIDE, iou: boxes.map(() => 0.9), toModel: [SIDE / width, 0, 0, 0, SIDE / height, 0] };
  },
};

const images = Array.from({ length: count }, (_, i) => ({
  ...{ id: i + 1, width: 64, height: 64, file_name: `${String(i).padStart(5, "0")}.png` },
}));
const categories = ["a", "b", "c"].map((name, i) => ({ id: i + 1, name }));
const rss: number[] = [];
const say = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
const distillation = await prepareDistillation({
  teachers: { detector, masks },
  train: { dataset: { images, annotations: [], categories }, imagesDir: join(folder, "images") },
  dir: join(folder, "cache"),
  onProgress({ kind, done, total }) {
    if (done % 100 !== 0 && done !== total) return;
    globalThis.gc?.();
    rss.push(process.memoryUsage.rss() / 1e6);
    say({ kind, done, calls });
  },
});
const { user, system } = process.cpuUsage();
say({ end: true, calls, rss, cpuSeconds: (user + system) / 1e6, counts: distillation.counts });
distillation.close();
