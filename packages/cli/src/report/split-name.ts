import { formatCount } from "@seg/train/charts";
import type { MeasuredOn } from "./report-data.js";

/** "54 test images", what every figure was measured on that names no other split; "the images of this report" where it was not recorded. */
export const splitName = (on: MeasuredOn | undefined): string =>
  on === undefined
    ? "the images of this report"
    : `${formatCount(on.images)} ${on.split} ${on.images === 1 ? "image" : "images"}`;
