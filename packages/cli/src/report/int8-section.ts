import {
  barChart,
  formatDelta,
  formatPercent,
  formatScore,
  formatSpeed,
  html,
  NOT_MEASURED,
  type SafeHtml,
} from "@seg/train/charts";
import { keyValueTable } from "./facts-section.js";
import { barNumbers, figure } from "./markup/figure.js";
import { plainTable } from "./markup/table.js";
import { modelChange } from "./model-change.js";
import type { Int8Facts, ModelRow } from "./report-data.js";

const decibels = (value: number | null): string => (value === null ? "no noise" : `${value.toFixed(1)}\u00a0dB`);

/** What quantisation cost: accuracy by class, noise by tensor, layers that stayed float. */
export function int8Section({ int8, models }: { int8: Int8Facts | null; models: readonly ModelRow[] }): SafeHtml {
  const row = models.find(({ kind }) => kind === "student-int8");
  const change = row === undefined ? null : modelChange(row, models);
  if (int8 === null && change === null) return html`<p class="absent">Not measured: no INT8 model was made.</p>`;
  const delta = (value: number | null | undefined) => (value == null ? NOT_MEASURED : formatDelta(value));
  const facts: [string, string | SafeHtml][] = [
    ["box mAP50 / mAP50-95, INT8 minus fp32", `${delta(change?.boxMap50)} / ${delta(change?.boxMap)}`],
    ["mask mAP50 / mAP50-95, INT8 minus fp32", `${delta(change?.maskMap50)} / ${delta(change?.maskMap)}`],
    ["size", change?.sizeShare == null ? NOT_MEASURED : `${formatPercent(change.sizeShare)} of fp32`],
    ["speed, paired rounds", speedText(int8?.speedup ?? null)],
    ["layers left float", floatText(int8)],
    ["accuracy gate on the validation split", gateText(int8?.attempts ?? null)],
    ["signal to noise of the outputs", int8 === null ? NOT_MEASURED : outputsText(int8)],
    ["signal to noise of the activations", int8 === null ? NOT_MEASURED : activationsText(int8)],
    [
      "largest change of a class probability",
      int8?.parity == null ? NOT_MEASURED : int8.parity.classMaxError.toFixed(3),
    ],
    [
      "SHA-256 of the calibration images",
      int8?.calibrationSha256 == null ? "not recorded" : html`<code class="hash">${int8.calibrationSha256}</code>`,
    ],
  ];
  return html`${keyValueTable(facts)}${int8 === null ? null : html`<div class="charts">${worstChart(int8)}${rankingTable(int8)}</div>`}<p class="note">Signal to noise (SQNR): 10 log10 of the energy of the float values over that of their error; 20 dB is an error of 10 %.</p>`;
}

function speedText(speedup: Int8Facts["speedup"]): string {
  if (speedup === null) return NOT_MEASURED;
  const { median, low, high } = speedup;
  return `${formatSpeed(median)} (95 % interval of the ratio ${low.toFixed(2)} to ${high.toFixed(2)})`;
}

function floatText(int8: Int8Facts | null): string {
  if (int8 === null || int8.floatLayers === null) return "not recorded";
  return int8.floatLayers.length === 0 ? "none" : int8.floatLayers.join(", ");
}

function gateText(attempts: Int8Facts["attempts"]): string {
  const last = attempts?.at(-1);
  if (attempts == null || last === undefined) return NOT_MEASURED;
  const tries = attempts.length === 1 ? "first attempt" : `${attempts.length} attempts`;
  return `${last.passed ? "passed" : "FAILED"}, ${tries}: mAP50-95 changes by ${formatDelta(-last.value)}, a loss of ${formatScore(last.limit)} is allowed`;
}

const outputsText = ({ outputs }: Int8Facts): string =>
  outputs.map(({ tensor, sqnrDb }) => `${tensor} ${decibels(sqnrDb)}`).join(", ");

function activationsText({ activations, medianSqnrDb, samples, worst }: Int8Facts): string {
  const lowest = worst[0] === undefined ? "" : `, lowest ${decibels(worst[0].sqnrDb)} (${worst[0].tensor})`;
  return `median ${decibels(medianSqnrDb)} of ${activations} tensors${lowest}, over ${samples} images`;
}

function worstChart({ worst }: Int8Facts): SafeHtml {
  const title = "Activations with the most quantisation noise";
  const groups = worst.map(({ tensor, sqnrDb }) => ({ label: tensor, values: [sqnrDb] }));
  const format = (value: number) => value.toFixed(1);
  return figure({
    title,
    chart: barChart({ title, groups, series: ["signal to noise"], xLabel: "signal to noise, dB", format }),
    numbers: barNumbers("tensor", ["signal to noise, dB"], groups, format),
  });
}

function rankingTable({ ranking }: Int8Facts): SafeHtml | null {
  if (ranking === null) return null;
  return html`<div>${plainTable({
    caption: "Layers by what quantising them alone costs",
    head: ["Layer", "Signal to noise of the worst output"],
    rows: ranking.map(({ layer, sqnrDb }) => [layer, decibels(sqnrDb)]),
  })}</div>`;
}
