import {
  barChart,
  formatBytes,
  formatDelta,
  formatMilliseconds,
  formatPercent,
  formatRate,
  formatScore,
  formatSpeed,
  html,
  known,
  knownScore,
  NOT_MEASURED,
  type SafeHtml,
  scatterChart,
} from "@seg/train/charts";
import type { ModelRow, ReportData } from "./report-data.js";
import { baselinesFor, fp32Of, isPrompted, ratio } from "./verdict.js";

/** A cell with its column name, which a phone shows in front of the value. */
function cell(label: string, value: string, note: SafeHtml | null = null): SafeHtml {
  const isAbsent = value === NOT_MEASURED;
  return html`<td data-label="${label}"><span class="value${isAbsent ? " absent" : ""}">${value}</span>${note}</td>`;
}

const change = (text: string, isBetter: boolean | null): SafeHtml =>
  html`<span class="delta ${isBetter === null ? "same" : isBetter ? "better" : "worse"}">${isBetter === null ? "" : isBetter ? "▲\u00a0" : "▼\u00a0"}${text}</span>`;

/** Difference of a quality against fp32. */
function scoreChange(value: number | null | undefined, reference: number | null | undefined): SafeHtml | null {
  const [a, b] = [knownScore(value), knownScore(reference)];
  if (a === null || b === null) return null;
  const text = formatDelta(a - b);
  return change(text, text.startsWith("±") ? null : a > b);
}

/** Share of a cost against fp32; less is better. */
function costChange(value: number | null | undefined, reference: number | null | undefined): SafeHtml | null {
  const share = ratio(value, reference);
  return share === null
    ? null
    : change(`${formatPercent(share)} of fp32`, Math.abs(share - 1) < 0.005 ? null : share < 1);
}

/** "2.1x faster" from two times or rates; `gain` above 1 is better. */
function speedChange(gain: number | null): SafeHtml | null {
  if (gain === null || gain <= 0) return null;
  const text = formatSpeed(gain);
  return change(text, text === "equally fast" ? null : gain > 1);
}

function modelRow(row: ModelRow, data: ReportData): SafeHtml {
  const fp32 = fp32Of(data.models);
  const reference = row.kind === "student-int8" && fp32 !== null && fp32 !== row ? fp32 : null;
  const baselines = baselinesFor(row, data);
  const mark = baselines?.isSameSplit === false ? "*" : "";
  const beside = html`<span class="beside">filled box ${formatScore(baselines?.baselines.filledBox)}${mark}</span><span class="beside">ellipse ${formatScore(baselines?.baselines.ellipse)}${mark}</span>`;
  const speed = reference === null ? null : ratio(reference.latencyMs?.p50, row.latencyMs?.p50);
  const rate = reference === null ? null : ratio(row.fps, reference.fps);
  const latency = known(row.latencyMs?.p50);
  return html`<tr class="kind-${row.kind}"><th scope="row"><span class="name">${row.name}</span><span class="prompts">${isPrompted(row) ? `prompts: ${row.prompts}` : "no prompts: image only"}</span>${row.verdict ? html`<span class="remark">${row.verdict}</span>` : null}</th>${cell("Box mAP50", formatScore(row.box?.map50), scoreChange(row.box?.map50, reference?.box?.map50))}${cell("Box mAP50-95", formatScore(row.box?.map), scoreChange(row.box?.map, reference?.box?.map))}${cell("Mask mAP50", formatScore(row.mask?.map50), scoreChange(row.mask?.map50, reference?.mask?.map50))}${cell("Mask mAP50-95", formatScore(row.mask?.map), scoreChange(row.mask?.map, reference?.mask?.map))}${cell("Mask IoU", formatScore(row.maskIou), html`${scoreChange(row.maskIou, reference?.maskIou)}${beside}`)}${cell("Size", formatBytes(row.sizeBytes), costChange(row.sizeBytes, reference?.sizeBytes))}${cell("Latency", formatMilliseconds(latency), html`${speedChange(speed)}${latency === null ? null : html`<span class="beside">p95 ${formatMilliseconds(row.latencyMs?.p95)}</span>`}`)}${cell("FPS", formatRate(row.fps), speedChange(rate))}${cell("Peak memory", formatBytes(row.peakMemoryBytes), costChange(row.peakMemoryBytes, reference?.peakMemoryBytes))}</tr>`;
}

/** The table of all models: fixed columns whatever was measured, INT8 with its difference to fp32, mask IoU beside its baselines. */
export function modelsTable(data: ReportData): SafeHtml {
  if (data.models.length === 0) return html`<p class="absent">No model was measured.</p>`;
  const isBorrowed = data.models.some((row) => baselinesFor(row, data)?.isSameSplit === false);
  const note = isBorrowed
    ? "* baselines of the teacher's own evaluation (table Teacher): possibly other pictures than these models saw."
    : "";
  return html`<div class="scroll"><table class="stack models"><thead><tr><th rowspan="2" scope="col">Model</th><th colspan="2" scope="colgroup">Box</th><th colspan="3" scope="colgroup">Mask</th><th colspan="4" scope="colgroup">Cost</th></tr><tr><th scope="col">mAP50</th><th scope="col">mAP<br>50-95</th><th scope="col">mAP50</th><th scope="col">mAP<br>50-95</th><th scope="col">IoU</th><th scope="col">Size</th><th scope="col">Latency<br>p50</th><th scope="col">FPS</th><th scope="col">Peak<br>memory</th></tr></thead><tbody>${data.models.map((row) => modelRow(row, data))}</tbody></table></div><p class="note">▲ better, ▼ worse than fp32. mAP as COCO defines it, 0 to 1. Filled box and ellipse are the mask IoU of the annotated box filled, and of the ellipse in it: what knowing the box alone is worth. 1&nbsp;MB is 1,000,000 bytes. ${note}</p>`;
}

/** Every chart shows one kind of model in one colour. */
const colorOf = ({ kind }: ModelRow): number => ["teacher", "student-fp32", "student-int8"].indexOf(kind);

/** Mask IoU of every model beside the two masks that need no model. */
export function maskIouChart(data: ReportData): SafeHtml {
  const title = "Mask IoU beside its trivial baselines";
  const groups = data.models.map((row) => {
    const baselines = baselinesFor(row, data)?.baselines;
    return {
      label: row.name,
      values: [knownScore(row.maskIou), knownScore(baselines?.filledBox), knownScore(baselines?.ellipse)],
    };
  });
  return html`<figure><figcaption>${title}</figcaption>${barChart({ title, groups, series: ["model", "filled box", "ellipse"], colors: [0, 4, 3], xLabel: "mask IoU", max: 1, format: (v) => v.toFixed(2) })}</figure>`;
}

/** Accuracy against latency of all models that have both; the accuracy that most of them have. */
export function tradeOffChart(models: readonly ModelRow[]): SafeHtml {
  const timed = models.filter((row) => (known(row.latencyMs?.p50) ?? 0) > 0);
  const withBox = timed.filter((row) => knownScore(row.box?.map50) !== null);
  const withMask = timed.filter((row) => knownScore(row.mask?.map50) !== null);
  const isMask = withMask.length > withBox.length;
  const metric = isMask ? "mask" : "box";
  const chosen = isMask ? withMask : withBox;
  const chart = scatterChart({
    title: `${isMask ? "Mask" : "Box"} mAP50 against latency`,
    xLabel: "latency, ms per image (p50, whisker p95)",
    yLabel: `${metric} mAP50`,
    yMax: 1,
    points: chosen.map((row) => {
      const p95 = known(row.latencyMs?.p95);
      return {
        name: row.name,
        x: row.latencyMs!.p50,
        ...(p95 === null ? {} : { xHigh: p95 }),
        y: (isMask ? row.mask : row.box)!.map50,
        isHollow: isPrompted(row),
        series: colorOf(row),
      };
    }),
  });
  const absent = models.filter((row) => !chosen.includes(row)).map(({ name }) => name);
  const notes = [
    chosen.some(isPrompted) ? "Hollow: was told where the objects are." : "",
    absent.length > 0 ? `Not shown, not measured: ${absent.join(", ")}.` : "",
  ];
  return html`<figure><figcaption>Accuracy against latency</figcaption>${chart}<p class="note">Up and to the left is better. ${notes.join(" ")}</p></figure>`;
}

/** More classes than this would make the chart longer than a page; the table has them all. */
const MAX_CHART_CLASSES = 20;

/** Per class: a table of both definitions for every model, and bars of mAP50. */
export function perClassSection(models: readonly ModelRow[]): SafeHtml {
  const detailed = models.filter((row) => (row.perClass?.length ?? 0) > 0);
  if (detailed.length === 0) return html`<p class="absent">Per class: ${NOT_MEASURED}</p>`;
  const names = [...new Set(detailed.flatMap((row) => row.perClass!.map(({ name }) => name)))];
  const lookup = detailed.map((row) => new Map(row.perClass!.map((entry) => [entry.name, entry])));
  const hasMask = detailed.some((row) => row.perClass!.some((entry) => knownScore(entry.maskAp50) !== null));
  const hasBox = detailed.some((row) => row.perClass!.some((entry) => knownScore(entry.boxAp50) !== null));
  const pair = (label: string, ap50: number | null | undefined, ap: number | null | undefined) =>
    cell(label, knownScore(ap50) === null ? NOT_MEASURED : `${formatScore(ap50)} / ${formatScore(ap)}`);
  const rows = names.map(
    (name) =>
      html`<tr><th scope="row"><span class="name">${name}</span></th>${detailed.map((model, m) => {
        const entry = lookup[m]!.get(name);
        return [
          pair(`${model.name}: box AP50 / 50-95`, entry?.boxAp50, entry?.boxAp),
          pair(`${model.name}: mask AP50 / 50-95`, entry?.maskAp50, entry?.maskAp),
        ];
      })}</tr>`,
  );
  const table = html`<div class="scroll"><table class="stack"><thead><tr><th rowspan="2" scope="col">Class</th>${detailed.map(({ name }) => html`<th colspan="2" scope="colgroup">${name}</th>`)}</tr><tr>${detailed.map(() => html`<th scope="col">box AP50 / 50-95</th><th scope="col">mask AP50 / 50-95</th>`)}</tr></thead><tbody>${rows}</tbody></table></div>`;
  const chart = (kind: "box" | "mask") => {
    const value = (m: number, name: string) => {
      const entry = lookup[m]!.get(name);
      return knownScore(kind === "box" ? entry?.boxAp50 : entry?.maskAp50);
    };
    // Where not all fit, the weakest classes are the ones to look at.
    const worst = (name: string) => Math.min(...detailed.map((_, m) => value(m, name) ?? 2));
    const shown =
      names.length <= MAX_CHART_CLASSES
        ? names
        : [...names].sort((a, b) => worst(a) - worst(b)).slice(0, MAX_CHART_CLASSES);
    const caption = `${kind === "box" ? "Box" : "Mask"} AP50 by class${shown.length < names.length ? `, the weakest ${shown.length} of ${names.length}` : ""}`;
    return html`<figure><figcaption>${caption}</figcaption>${barChart({
      title: caption,
      series: detailed.map(({ name }) => name),
      colors: detailed.map((row, m) =>
        detailed.filter(({ kind }) => kind === row.kind).length > 1 ? m : colorOf(row),
      ),
      groups: shown.map((name) => ({ label: name, values: detailed.map((_, m) => value(m, name)) })),
      xLabel: `${kind} AP50`,
      max: 1,
      format: (v) => v.toFixed(2),
    })}</figure>`;
  };
  return html`<div class="charts">${hasBox ? chart("box") : null}${hasMask ? chart("mask") : null}</div>${table}`;
}
