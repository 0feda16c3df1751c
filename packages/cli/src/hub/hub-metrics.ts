import type { TrainingResult } from "@seg/model-hub";

/** TP / (TP + FP + FN) from precision and recall: 1 / (1/P + 1/R - 1). */
export const accuracyOf = (precision: number, recall: number): number =>
  precision === 0 || recall === 0 ? 0 : 1 / (1 / precision + 1 / recall - 1);

/** The registry's names of what the student was measured by: masks where it draws them, else boxes. */
export function hubMetrics(measured: Readonly<Record<string, number>>): TrainingResult["metrics"] {
  const prefix = measured["mask_mAP50"] === undefined ? "" : "mask_";
  const rate = (name: string): number | null => {
    const value = measured[prefix + name];
    return value === undefined || !Number.isFinite(value) ? null : Math.min(1, Math.max(0, value));
  };
  const [precision, recall] = [rate("precision"), rate("recall")];
  const loss = measured["loss"];
  return {
    accuracy: precision === null || recall === null ? null : accuracyOf(precision, recall),
    precision,
    recall,
    map50: rate("mAP50"),
    map50_95: rate("mAP50-95"),
    mask_iou: prefix === "" ? null : rate("IoU"),
    loss: loss === undefined || !Number.isFinite(loss) ? null : loss,
  };
}
