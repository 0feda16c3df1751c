import type { Box, RgbImage } from "@seg/coco-dataset";
import type { DetectionTeacher, FeatureMap, FeatureTeacher, MaskTeacher } from "../src/index.js";

/** Side of the logit grid, for images of 64 px. */
const GRID = 32;

/** Mask teacher that finds each box filled, on a 32 x 32 grid over an image of 64 x 64. Counts its calls. */
export function boxTeacher(hash = "1"): MaskTeacher & { calls: number } {
  return {
    id: "boxes",
    hash,
    calls: 0,
    async predict(_image, boxes) {
      this.calls += 1;
      const logits = boxes.map(([x1, y1, x2, y2]) =>
        Float32Array.from({ length: GRID * GRID }, (_, i) => {
          const [x, y] = [((i % GRID) + 0.5) * 2, (Math.floor(i / GRID) + 0.5) * 2];
          return x >= x1 && x < x2 && y >= y1 && y < y2 ? 6 : -6;
        }),
      );
      return { logits, side: GRID, iou: boxes.map(() => 0.95), toModel: [0.5, 0, 0, 0, 0.5, 0] };
    },
  };
}

/** What {@link oracle} knows of one image. */
export interface Known {
  readonly box: Box;
  readonly classId: number;
}

/** A hash of the pixels: enough to tell synthetic images apart. */
export const fingerprint = ({ data }: RgbImage): number => {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum = (sum * 31 + data[i]!) % 1_000_000_007;
  return sum;
};

/** Detector that answers with what it knows of an image, each at logit `confidence`, other classes at -4. Counts its calls. */
export function oracle({
  known,
  classes,
  confidence = 2,
  hash = "1",
}: {
  known: ReadonlyMap<number, readonly Known[]>;
  classes: number;
  confidence?: number;
  hash?: string;
}): DetectionTeacher & { calls: number } {
  return {
    id: "oracle",
    hash,
    calls: 0,
    async detect(image) {
      this.calls += 1;
      const list = known.get(fingerprint(image)) ?? [];
      const logits = new Float32Array(list.length * classes).fill(-4);
      list.forEach(({ classId }, i) => {
        logits[i * classes + classId] = confidence;
      });
      return { boxes: list.map(({ box }) => box), logits };
    },
  };
}

/** Feature teacher: colours of the pixels at every `stride`, as three channels. */
export function colourFeatures(stride: number): FeatureTeacher {
  return {
    id: "colours",
    hash: "1",
    async features({ width, height, data }): Promise<FeatureMap[]> {
      const [rows, columns] = [Math.floor(height / stride), Math.floor(width / stride)];
      const values = new Float32Array(rows * columns * 3);
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
          const pixel = (i * stride + (stride >> 1)) * width + j * stride + (stride >> 1);
          for (let c = 0; c < 3; c++) values[(i * columns + j) * 3 + c] = data[pixel * 3 + c]! / 255;
        }
      }
      const toMap = [1 / stride, 0, 0, 0, 1 / stride, 0] as const;
      return [{ stride, height: rows, width: columns, channels: 3, data: values, toMap }];
    },
  };
}
