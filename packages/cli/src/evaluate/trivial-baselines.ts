import { createClassMapping, instancesOf, mask } from "@seg/coco-dataset";
import { bitmapIou, trivialMask } from "@seg/teachers";
import type { LoadedSplit } from "../data.js";
import type { MaskBaselines } from "../report/report-data.js";

/** What needs no network: mean IoU of the annotated masks with their own filled box, and with the ellipse inscribed in it. */
export function trivialBaselines(split: LoadedSplit): MaskBaselines | null {
  const mapping = createClassMapping(split.dataset);
  const sums = { filledBox: 0, ellipse: 0 };
  let count = 0;
  for (const { id, width, height } of split.dataset.images) {
    for (const { box, mask: truth } of instancesOf(split.dataset, id, mapping)) {
      if (truth === undefined) continue;
      const pixels = mask.decode(truth);
      for (const kind of ["filledBox", "ellipse"] as const) {
        sums[kind] += bitmapIou(trivialMask({ kind, box, width, height }), pixels);
      }
      count++;
    }
  }
  return count === 0 ? null : { filledBox: sums.filledBox / count, ellipse: sums.ellipse / count };
}
