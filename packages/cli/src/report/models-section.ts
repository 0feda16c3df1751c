import {
  barChart,
  formatBytes,
  formatCount,
  formatDelta,
  formatMilliseconds,
  formatNumber,
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
import { barNumbers, figure } from "./markup/figure.js";
import { cell, columnHead, row, rowHead, table } from "./markup/table.js";
import { type ModelChange, modelChange } from "./model-change.js";
import type { ModelRow, ReportData } from "./report-data.js";
import { baselinesFor, isPrompted } from "./verdict.js";

const arrow = (text: string, isBetter: boolean | null): SafeHtml =>
  html`<span class="delta ${isBetter === null ? "same" : isBetter ? "better" : "worse"}">${isBetter === null ? "" : html`<span aria-hidden="true">${isBetter ? "▲" : "▼"}\u00a0</span>`}${text}</span>`;

/** Difference of a quality against fp32. */
function scoreChange(delta: number | null | undefined): SafeHtml | null {
  if (delta === null || delta === undefined) return null;
  const text = formatDelta(delta);
  return arrow(text, text.startsWith("±") ? null : delta > 0);
}

/** Share of a cost against fp32; less is better. */
function costChange(share: number | null | undefined): SafeHtml | null {
  return share === null || share === undefined
    ? null
    : arrow(`${formatPercent(share)} of fp32`, Math.abs(share - 1) < 0.005 ? null : share < 1);
}

/** "2.1x faster"; `gain` above 1 is better. */
function speedChange(gain: number | null | undefined): SafeHtml | null {
  if (gain === null || gain === undefined || gain <= 0) return null;
  const text = formatSpeed(gain);
  return arrow(text, text === "equally fast" ? null : gain > 1);
}

function modelRow(model: ModelRow, data: ReportData): SafeHtml {
  const change: Partial<ModelChange> = modelChange(model, data.models) ?? {};
  const baselines = baselinesFor(model, data);
  const mark = baselines?.isSameSplit === false ? "*" : "";
  // Where nobody makes masks there is nothing to hold one against.
  const isMaskless = baselines === null && data.models.every(({ mask, maskIou }) => mask === null && maskIou === null);
  const beside = isMaskless
    ? null
    : html`<span class="beside">filled box ${formatScore(baselines?.baselines.filledBox)}${mark}</span><span class="beside">ellipse ${formatScore(baselines?.baselines.ellipse)}${mark}</span>`;
  const latency = known(model.latencyMs?.p50);
  return row(
    [
      rowHead(
        html`<span class="name">${model.name}</span><span class="prompts">${isPrompted(model) ? `prompts: ${model.prompts}` : "no prompts: image only"}</span>${model.verdict ? html`<span class="remark">${model.verdict}</span>` : null}`,
      ),
      cell("Box mAP50", formatScore(model.box?.map50), scoreChange(change.boxMap50)),
      cell("Box mAP50-95", formatScore(model.box?.map), scoreChange(change.boxMap)),
      cell("Mask mAP50", formatScore(model.mask?.map50), scoreChange(change.maskMap50)),
      cell("Mask mAP50-95", formatScore(model.mask?.map), scoreChange(change.maskMap)),
      cell("Mask IoU", formatScore(model.maskIou), html`${scoreChange(change.maskIou)}${beside}`),
      cell("Size", formatBytes(model.sizeBytes), costChange(change.sizeShare)),
      cell(
        "Latency",
        formatMilliseconds(latency),
        html`${speedChange(change.latencyGain)}${latency === null ? null : html`<span class="beside">p95 ${formatMilliseconds(model.latencyMs?.p95)}</span>`}`,
      ),
      cell("FPS", formatRate(model.fps), speedChange(change.fpsGain)),
      cell("Peak memory", formatBytes(model.peakMemoryBytes), costChange(change.memoryShare)),
    ],
    `kind-${model.kind}`,
  );
}

/** The table of all models: fixed columns whatever was measured, INT8 with its difference to fp32, mask IoU beside its baselines. */
export function modelsTable(data: ReportData): SafeHtml {
  if (data.models.length === 0) return html`<p class="absent">No model was measured.</p>`;
  const isBorrowed = data.models.some((model) => baselinesFor(model, data)?.isSameSplit === false);
  const note = isBorrowed
    ? "* baselines of the teacher's own evaluation (table Teacher): possibly other pictures than these models saw."
    : "";
  const twoLines = (a: string, b: string) => columnHead(html`${a}<br>${b}`);
  const models = table({
    caption: "Teacher and students: accuracy and cost",
    className: "stack models",
    head: [
      row([
        columnHead("Model", { rows: 2 }),
        columnHead("Box", { columns: 2 }),
        columnHead("Mask", { columns: 3 }),
        columnHead("Cost", { columns: 4 }),
      ]),
      row([
        columnHead("mAP50"),
        twoLines("mAP", "50-95"),
        columnHead("mAP50"),
        twoLines("mAP", "50-95"),
        columnHead("IoU"),
        columnHead("Size"),
        twoLines("Latency", "p50"),
        columnHead("FPS"),
        twoLines("Peak", "memory"),
      ]),
    ],
    rows: data.models.map((model) => modelRow(model, data)),
  });
  return html`${models}<p class="note">▲ better, ▼ worse than fp32. mAP as COCO defines it, 0 to 1. Filled box and ellipse are the mask IoU of the annotated box filled, and of the ellipse in it: what knowing the box alone is worth. 1&nbsp;MB is 1,000,000 bytes. ${note}</p>`;
}

/** A kind of model has its colour in every chart; a second one of the kind has another that no kind begins with. */
const PALETTE = { teacher: [0, 3], "student-fp32": [1, 4], "student-int8": [2, 5] } as const;

/** Colours of the series of a chart. */
const colorsOf = (models: readonly ModelRow[]): number[] =>
  models.map(({ kind }, m) => PALETTE[kind][models.slice(0, m).filter((other) => other.kind === kind).length % 2]!);

const twoDecimals = (value: number): string => value.toFixed(2);

/** Mask IoU of every model beside the two masks that need no model. */
export function maskIouChart(data: ReportData): SafeHtml {
  const title = "Mask IoU beside its trivial baselines";
  const series = ["model", "filled box", "ellipse"];
  const groups = data.models.map((model) => {
    const baselines = baselinesFor(model, data)?.baselines;
    return {
      label: model.name,
      values: [knownScore(model.maskIou), knownScore(baselines?.filledBox), knownScore(baselines?.ellipse)],
    };
  });
  return figure({
    title,
    chart: barChart({ title, groups, series, colors: [0, 4, 3], xLabel: "mask IoU", max: 1, format: twoDecimals }),
    numbers: barNumbers("model", series, groups, (value) => value.toFixed(3)),
  });
}

/** Accuracy against latency of all models that have both; the accuracy that most of them have. */
export function tradeOffChart(models: readonly ModelRow[]): SafeHtml {
  const timed = models.filter((model) => (known(model.latencyMs?.p50) ?? 0) > 0);
  const withBox = timed.filter((model) => knownScore(model.box?.map50) !== null);
  const withMask = timed.filter((model) => knownScore(model.mask?.map50) !== null);
  const isMask = withMask.length > withBox.length;
  const metric = isMask ? "mask" : "box";
  const chosen = isMask ? withMask : withBox;
  const scoreOf = (model: ModelRow) => (isMask ? model.mask : model.box)!.map50;
  const colors = colorsOf(models);
  const chart = scatterChart({
    title: `${isMask ? "Mask" : "Box"} mAP50 against latency`,
    xLabel: "latency, ms per image (p50, whisker p95)",
    yLabel: `${metric} mAP50`,
    yMax: 1,
    points: chosen.map((model) => {
      const p95 = known(model.latencyMs?.p95);
      return {
        name: model.name,
        x: model.latencyMs!.p50,
        ...(p95 === null ? {} : { xHigh: p95 }),
        y: scoreOf(model),
        isHollow: isPrompted(model),
        series: colors[models.indexOf(model)]!,
      };
    }),
  });
  const absent = models.filter((model) => !chosen.includes(model)).map(({ name }) => name);
  const notes = [
    chosen.some(isPrompted) ? "Hollow: was told where the objects are." : "",
    absent.length > 0 ? `Not shown, not measured: ${absent.join(", ")}.` : "",
  ];
  return figure({
    title: "Accuracy against latency",
    chart,
    note: html`<p class="note">Up and to the left is better. ${notes.join(" ")}</p>`,
    numbers: {
      head: ["model", `${metric} mAP50`, "p50, ms", "p95, ms"],
      rows: chosen.map((model) => [
        model.name,
        formatScore(scoreOf(model)),
        formatNumber(model.latencyMs!.p50),
        known(model.latencyMs?.p95) === null ? NOT_MEASURED : formatNumber(model.latencyMs!.p95),
      ]),
    },
  });
}

/** More classes than this would make the chart longer than a page; the table has them all. */
const MAX_CHART_CLASSES = 20;

/** Per class: a table of both definitions for every model, and bars of mAP50. */
export function perClassSection(models: readonly ModelRow[]): SafeHtml {
  const detailed = models.filter((model) => (model.perClass?.length ?? 0) > 0);
  if (detailed.length === 0) return html`<p class="absent">Per class: ${NOT_MEASURED}</p>`;
  const names = [...new Set(detailed.flatMap((model) => model.perClass!.map(({ name }) => name)))];
  const lookup = detailed.map((model) => new Map(model.perClass!.map((entry) => [entry.name, entry])));
  const hasMask = detailed.some((model) => model.perClass!.some((entry) => knownScore(entry.maskAp50) !== null));
  const hasBox = detailed.some((model) => model.perClass!.some((entry) => knownScore(entry.boxAp50) !== null));
  const pair = (ap50: number | null | undefined, ap: number | null | undefined) =>
    knownScore(ap50) === null ? NOT_MEASURED : `${formatScore(ap50)} / ${formatScore(ap)}`;
  const classes = modelColumnsTable({
    caption: "Average precision by class",
    first: "Class",
    models: detailed,
    columns: [
      {
        head: "box AP50 / 50-95",
        value: (m, name) => pair(lookup[m]!.get(name)?.boxAp50, lookup[m]!.get(name)?.boxAp),
      },
      {
        head: "mask AP50 / 50-95",
        value: (m, name) => pair(lookup[m]!.get(name)?.maskAp50, lookup[m]!.get(name)?.maskAp),
      },
    ],
    rows: names.map((name) => ({ name })),
  });
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
    const title = `${kind === "box" ? "Box" : "Mask"} AP50 by class${shown.length < names.length ? `, the weakest ${shown.length} of ${names.length}` : ""}`;
    return modelBars({
      title,
      models: detailed,
      groupLabel: "class",
      groups: shown.map((name) => ({ label: name, values: detailed.map((_, m) => value(m, name)) })),
      xLabel: `${kind} AP50`,
    });
  };
  return html`<div class="charts">${hasBox ? chart("box") : null}${hasMask ? chart("mask") : null}</div>${classes}`;
}

/** Per size of the objects: bars and a table of mAP50-95 for every model that was evaluated. */
export function perSizeSection(models: readonly ModelRow[]): SafeHtml {
  const detailed = models.filter((model) => (model.perSize?.length ?? 0) > 0);
  if (detailed.length === 0) return html`<p class="absent">Per size: ${NOT_MEASURED}</p>`;
  const sizes = detailed[0]!.perSize!;
  const entryOf = (model: ModelRow, size: string) => model.perSize!.find((entry) => entry.size === size);
  const bars = (kind: "boxAp" | "maskAp", title: string) => {
    const groups = sizes
      .filter(({ objects }) => objects > 0)
      .map(({ size }) => ({ label: size, values: detailed.map((model) => entryOf(model, size)?.[kind] ?? null) }));
    return groups.some(({ values }) => values.some((value) => value !== null))
      ? modelBars({ title, models: detailed, groupLabel: "size", groups, xLabel: "mAP50-95" })
      : null;
  };
  const value = (kind: "boxAp" | "maskAp") => (m: number, size: string) =>
    formatScore(entryOf(detailed[m]!, size)?.[kind]);
  const pairs = modelColumnsTable({
    caption: "mAP50-95 by size of the objects",
    first: "Size",
    extra: "Objects",
    models: detailed,
    columns: [
      { head: "box mAP50-95", value: value("boxAp") },
      { head: "mask mAP50-95", value: value("maskAp") },
    ],
    rows: sizes.map(({ size, objects }) => ({
      name: size,
      extra: formatCount(objects),
      ...(objects === 0 ? { absent: "no object" } : {}),
    })),
  });
  return html`<div class="charts">${bars("boxAp", "Box mAP50-95 by size")}${bars("maskAp", "Mask mAP50-95 by size")}</div>${pairs}<p class="note">COCO's sizes by area in pixels of the image: small below 32 × 32, medium below 96 × 96, large above.</p>`;
}

/** A table with up to `columns.length` columns for each model: those that have a value in some row. */
function modelColumnsTable({
  caption,
  first,
  extra,
  models,
  columns,
  rows,
}: {
  caption: string;
  first: string;
  extra?: string;
  models: readonly ModelRow[];
  /** `value`: text for the model at an index in the row of a name. */
  columns: readonly { readonly head: string; value(model: number, name: string): string }[];
  /** `absent`: stands in every cell of a row that cannot have values. */
  rows: readonly { readonly name: string; readonly extra?: string; readonly absent?: string }[];
}): SafeHtml {
  const shown = models.map((model, m) => ({
    model,
    columns: columns
      .map(({ head, value }) => ({ head, texts: rows.map((entry) => entry.absent ?? value(m, entry.name)) }))
      .filter(({ texts }) => texts.some((text, i) => rows[i]!.absent === undefined && text !== NOT_MEASURED)),
  }));
  const withValues = shown.filter((entry) => entry.columns.length > 0);
  return table({
    caption,
    className: "stack by-model",
    head: [
      row([
        columnHead(first, { rows: 2 }),
        extra === undefined ? null : columnHead(extra, { rows: 2 }),
        withValues.map(({ model, columns: own }) => columnHead(model.name, { columns: own.length, isGroup: true })),
      ]),
      row(withValues.flatMap(({ columns: own }) => own.map(({ head }) => columnHead(head)))),
    ],
    rows: rows.map(({ name, extra: text }, i) =>
      row([
        rowHead(html`<span class="name">${name}</span>`),
        extra === undefined ? null : cell(extra, text ?? ""),
        withValues.map(({ model, columns: own }) =>
          own.map(({ head, texts }) => cell(`${model.name}: ${head}`, texts[i]!)),
        ),
      ]),
    ),
  });
}

function modelBars({
  title,
  models,
  groupLabel,
  groups,
  xLabel,
}: {
  title: string;
  models: readonly ModelRow[];
  groupLabel: string;
  groups: readonly { label: string; values: (number | null)[] }[];
  xLabel: string;
}): SafeHtml {
  const series = models.map(({ name }) => name);
  return figure({
    title,
    chart: barChart({ title, series, colors: colorsOf(models), groups, xLabel, max: 1, format: twoDecimals }),
    numbers: barNumbers(groupLabel, series, groups, (value) => value.toFixed(3)),
  });
}
