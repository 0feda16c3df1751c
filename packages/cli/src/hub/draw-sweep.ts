import type { DrawSweep, EndedSweep } from "@seg/model-hub";
import { RunDirectory } from "@seg/train";
import { barChart, formatNumber, type SafeHtml, svgFile, writeChart } from "@seg/train/charts";

/** Every trial as a bar, best first; trials that were ended early are told apart and show the best that they had reached. */
export function sweepChart({ metric, ranking }: Omit<EndedSweep, "directory">): SafeHtml {
  const names = [...new Set(ranking.flatMap(({ params }) => Object.keys(params)))];
  const varied = names.filter((name) => new Set(ranking.map(({ params }) => params[name])).size > 1);
  const values = (params: EndedSweep["ranking"][number]["params"]) =>
    varied.map((name) => `${name} ${params[name] ?? "as usual"}`).join(", ");
  const states = { succeeded: "", pruned: ", ended early", failed: ", failed" } as const;
  return barChart({
    title: `${metric} of ${ranking.length} trials`,
    groups: ranking.map(({ index, params, state, metric: value }) => ({
      label: `${index}: ${values(params)}${states[state]}`,
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
