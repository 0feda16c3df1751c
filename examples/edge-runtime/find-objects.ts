import { mask, type RgbImage } from "@seg/coco-dataset";
import type { Detector } from "@seg/export/runtime";

/** One object as the page's table shows it. */
export interface FoundObject {
  readonly name: string;
  readonly score: number;
  /** xyxy, pixels of the picture. */
  readonly box: readonly number[];
  /** Pixels of the mask; null for a detector. */
  readonly area: number | null;
}

/** What a model finds in a picture. */
export async function findObjects(
  detector: Detector,
  picture: RgbImage,
  options: { confidence: number },
): Promise<FoundObject[]> {
  const { names, scores, boxes, masks } = await detector.predict(picture, options);
  return names.map((name, i) => ({
    ...{ name, score: scores[i]!, box: [...boxes.subarray(4 * i, 4 * i + 4)] },
    area: masks ? mask.area(masks[i]!) : null,
  }));
}

/** Milliseconds from pixels to decoded objects, one thread: the median, and what 95 % of the runs stay below. */
export async function measureLatency(
  detector: Detector,
  picture: RgbImage,
  { warmup, counted }: { warmup: number; counted: number },
): Promise<{ p50: number; p95: number }> {
  const times: number[] = [];
  for (let run = 0; run < warmup + counted; run++) {
    const began = performance.now();
    await detector.predict(picture);
    if (run >= warmup) times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(share * (times.length - 1))]!;
  return { p50: at(0.5), p95: at(0.95) };
}
