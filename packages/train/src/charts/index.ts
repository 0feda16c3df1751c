/**
 * Charts as SVG: lines, bars, scatter, matrices; as parts of a page (colours follow its style sheet) and as files.
 * @module
 */
export { type Axis, linearAxis, logAxis } from "./axis.js";
export { type BarGroup, barChart } from "./bar-chart.js";
export {
  axes,
  CHART_WIDTH,
  chartFrame,
  FONT_SIZE,
  type LegendEntry,
  legend,
  type PlotArea,
  px,
  seriesColor,
  seriesDash,
} from "./chart-frame.js";
export {
  formatBytes,
  formatCount,
  formatDelta,
  formatDuration,
  formatMilliseconds,
  formatNumber,
  formatPercent,
  formatRate,
  formatScore,
  formatSpeed,
  known,
  knownScore,
  NOT_MEASURED,
} from "./format.js";
export { type HtmlValue, html, raw, SafeHtml } from "./html.js";
export { type LinePoint, type LineSeries, lineChart } from "./line-chart.js";
export { matrixChart } from "./matrix-chart.js";
export { panelGrid } from "./panel-grid.js";
export { type ScatterPoint, scatterChart } from "./scatter-chart.js";
export { svgFile } from "./svg-file.js";
export { writeChart } from "./write-chart.js";
