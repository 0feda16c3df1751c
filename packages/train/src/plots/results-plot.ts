import { readFileSync } from "node:fs";
import { lineChart, panelGrid, type SafeHtml } from "../charts/index.js";
import type { RunDirectory } from "../run-directory.js";

/** Column names that get a panel, in this order: what Ultralytics' picture shows. */
const isShown = (column: string) => /^(train|val)\/(box|seg|cls|dfl)_loss$|^metrics\//.test(column);
const METRIC_ORDER = ["precision", "recall", "mAP50", "mAP50-95"];

/** Rows of `results.csv` by column; cells that are empty are null. */
export function readResults(run: RunDirectory): { columns: string[]; rows: (number | null)[][] } {
  const [header = "", ...lines] = readFileSync(run.file("results.csv"), "utf8").split("\n");
  const columns = header.split(",");
  const rows = lines
    .filter((line) => line !== "")
    .map((line) => columns.map((_, k) => line.split(",")[k] ?? "").map((cell) => (cell === "" ? null : Number(cell))));
  return { columns, rows };
}

/**
 * One panel per loss and metric over the epochs, 2 rows: training losses and half of the metrics above, validation losses and the rest below
 * (2 x 5 for a detector, 2 x 8 with masks).
 */
export function resultsPlot(run: RunDirectory): SafeHtml {
  const { columns, rows } = readResults(run);
  const shown = columns.filter(isShown);
  const losses = (split: string) => shown.filter((column) => column.startsWith(`${split}/`));
  const metrics = (kind: string) =>
    METRIC_ORDER.map((name) => `metrics/${name}(${kind})`).filter((c) => shown.includes(c));
  const half = (kind: string, part: 0 | 1) => metrics(kind).slice(2 * part, 2 * part + 2);
  const layout = [
    [...losses("train"), ...half("B", 0), ...half("M", 0)],
    [...losses("val"), ...half("B", 1), ...half("M", 1)],
  ];
  const width = Math.max(...layout.map((row) => row.length), 1);
  const epoch = columns.indexOf("epoch");
  const panel = (column: string | undefined) => {
    if (column === undefined) return { title: "", chart: lineChart({ title: "", series: [], xLabel: "", yLabel: "" }) };
    const k = columns.indexOf(column);
    const points = rows.map((row) => [row[epoch]!, row[k]!] as const);
    const isMetric = column.startsWith("metrics/");
    const series = [{ name: column, points }];
    const options = { title: column, series, xLabel: "epoch", yLabel: isMetric ? "" : "loss" };
    return { title: column, chart: lineChart({ ...options, ...(isMetric ? { yMax: 1 } : {}) }) };
  };
  const panels = layout.flatMap((row) => Array.from({ length: width }, (_, i) => panel(row[i])));
  return panelGrid({ title: "Results by epoch", panels, columns: width });
}
