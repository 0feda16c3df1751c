import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ModelRow } from "../report/report-data.js";

interface Report {
  readonly models: readonly ModelRow[];
  readonly promptFree: boolean | null;
}

/** `report.json` of an experiment, or null. */
export function readReport(experiment: string): Report | null {
  const path = join(experiment, "report.json");
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Report) : null;
}

const points = (value: { map50: number; map: number } | null | undefined): string =>
  value ? `${value.map50.toFixed(3)} / ${value.map.toFixed(3)}` : "-";

/** Rows of equal width: model, box and mask accuracy, size, latency. */
export function summaryTable(models: readonly ModelRow[]): string[] {
  const rows = [
    ["model", "box mAP50 / 50-95", "mask mAP50 / 50-95", "size", "latency p50"],
    ...models.map(({ name, box, mask, sizeBytes, latencyMs }) => [
      name,
      points(box),
      points(mask),
      sizeBytes === null ? "-" : `${(sizeBytes / 1e6).toFixed(2)} MB`,
      latencyMs === null ? "-" : `${latencyMs.p50.toFixed(1)} ms`,
    ]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd(),
  );
}

/** Box mAP50-95 of the exported student on held-out images, what runs are compared by; null where it was not measured. */
export const comparedMetric = ({ models }: Report): number | null =>
  models.find(({ kind }) => kind === "student-fp32")?.box?.map ?? null;
