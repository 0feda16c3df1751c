import { join } from "node:path";
import { writeJson, writeText } from "../write-text.js";
import type { BenchmarkReport } from "./benchmark.js";
import { formatBenchmarkMarkdown } from "./format.js";
import { benchmarkPlot } from "./plot.js";

/**
 * Writes `benchmark.json`, `benchmark.md` and, where accuracies are known, `benchmark.svg`.
 * @returns paths by file name
 */
export function writeBenchmark(directory: string, report: BenchmarkReport): Record<string, string> {
  const paths: Record<string, string> = {};
  const at = (name: string): string => {
    const path = join(directory, name);
    paths[name] = path;
    return path;
  };
  writeJson(at("benchmark.json"), report);
  const plot = benchmarkPlot(report);
  if (plot !== null) writeText(at("benchmark.svg"), plot);
  const picture = plot === null ? "" : "\n![Accuracy against latency](benchmark.svg)\n";
  writeText(at("benchmark.md"), `${formatBenchmarkMarkdown(report)}${picture}`);
  return paths;
}
