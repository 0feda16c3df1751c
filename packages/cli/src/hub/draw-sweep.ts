import type { DrawSweep, EndedSweep } from "@seg/model-hub";
import { RunDirectory } from "@seg/train";
import { barChart, formatNumber, type SafeHtml, svgFile, writeChart } from "@seg/train/charts";

/** Every trial as a bar, best first; trials that were ended early are told apart and show the best that they had reached. */
export function sweepChart({ metric, ranking }: Omit<EndedSweep, "directory">): SafeHtml {
  const names = [...new Set(ranking.flatMap(({ params }) => Object.keys(params)))];
  const varied = names.filter((name) => new Set(ranking.map(({ params }) => params[name])).size > 1);
  // There is room for one value; what else was varied stands in the table.
  const label = (params: EndedSweep["ranking"][number]["params"]) =>
    varied.length === 1 ? `: ${varied[0]} ${params[varied[0]!] ?? "as usual"}` : "";
  return barChart({
    title: `${metric} of ${ranking.length} trials`,
    groups: ranking.map(({ index, params, state, metric: value }) => ({
      label: `trial ${index}${state === "failed" ? ", failed" : label(params)}`,
      values: state === "pruned" ? [null, value] : [value, null],
    })),
    series: ["ran to its end", "ended early"],
    isStacked: true,
    xLabel: metric,
    format: formatNumber,
  });
}

/** Writes `results.svg` and, where sharp is, `results.png` beside the table. */
export const drawSweep: DrawSweep = async ({ directory, ...sweep }) => {
  const chart = sweepChart(sweep);
  const files = await writeChart(new RunDirectory(directory), "results", chart);
  return files.length === 0 ? null : svgFile(chart);
};
