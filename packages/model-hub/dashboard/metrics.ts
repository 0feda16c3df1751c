import type { VersionSummary } from "../src/client/index.js";
import { formatBytes, formatCount, formatDecimal, formatDuration, formatPercent } from "../src/dashboard/format.js";

type Metrics = VersionSummary["metrics"];

/** How a metric is called and shown. */
export interface MetricView {
  readonly key: keyof Metrics;
  readonly label: string;
  format(value: number | null | undefined): string;
}

/** Rates in [0, 1], drawn in one chart. */
export const RATES: readonly MetricView[] = [
  { key: "accuracy", label: "Accuracy", format: formatPercent },
  { key: "precision", label: "Precision", format: formatPercent },
  { key: "recall", label: "Recall", format: formatPercent },
  { key: "f1_score", label: "F1", format: formatDecimal },
  { key: "map50", label: "mAP 50", format: formatPercent },
  { key: "map50_95", label: "mAP 50–95", format: formatPercent },
  { key: "mask_iou", label: "Mask IoU", format: formatPercent },
];

const OTHERS: readonly MetricView[] = [
  { key: "loss", label: "Loss", format: formatDecimal },
  { key: "training_samples", label: "Samples", format: formatCount },
  { key: "training_time", label: "Training time", format: formatDuration },
  { key: "latency_ms", label: "Latency, ms", format: (v) => formatDecimal(v, 1) },
  { key: "size_bytes", label: "Size", format: formatBytes },
];

export const METRICS: readonly MetricView[] = [...RATES, ...OTHERS];

export const metricView = (key: string): MetricView =>
  METRICS.find((metric) => metric.key === key) ?? { key: key as keyof Metrics, label: key, format: formatDecimal };

export const metricOf = (version: VersionSummary, key: keyof Metrics): number | null => {
  const value = version.metrics[key];
  return typeof value === "number" ? value : null;
};
