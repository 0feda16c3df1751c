import type { Accuracy, BenchmarkReport } from "./benchmark.js";

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2);

const accuracyText = (accuracy: Accuracy | null): string =>
  accuracy === null ? "not measured" : `${accuracy.map50.toFixed(3)} / ${accuracy.map.toFixed(3)}`;

/** A benchmark report as Markdown: the table, how it was measured, what was not. MB = 10^6 bytes. */
export function formatBenchmarkMarkdown(report: BenchmarkReport): string {
  const header = [
    "artefact",
    "precision",
    "MB",
    "gzip MB",
    "parameters",
    "load ms",
    "median ms",
    "p95 ms",
    "min ms",
    "FPS",
    "peak RSS MB",
    "J a run",
    "mAP50 / 50-95",
    `speed vs ${report.baseline} [95 %]`,
    "verdict",
  ];
  const rows = report.rows.map((row) => [
    row.artefact,
    row.precision,
    megabytes(row.bytes),
    megabytes(row.gzipBytes),
    row.parameters === null ? "not read" : String(row.parameters),
    row.loadMs.toFixed(0),
    row.medianMs.toFixed(2),
    row.p95Ms.toFixed(2),
    row.minMs.toFixed(2),
    row.fps.toFixed(1),
    row.peakRssBytes === null ? "not measured" : (row.peakRssBytes / 1e6).toFixed(0),
    row.joulesPerRun === null ? "not measured" : row.joulesPerRun.toFixed(3),
    accuracyText(row.accuracy),
    `${row.speedup.toFixed(2)} [${row.speedupLow.toFixed(2)}, ${row.speedupHigh.toFixed(2)}]`,
    row.verdict,
  ]);
  for (const { name, bytes, medianMs, accuracy } of report.references) {
    const cells = header.map(() => "-");
    cells[0] = name;
    cells[2] = bytes === null ? "not measured" : megabytes(bytes);
    cells[header.indexOf("median ms")] = medianMs === null ? "not measured" : medianMs.toFixed(2);
    cells[header.indexOf("mAP50 / 50-95")] = accuracyText(accuracy);
    cells[cells.length - 1] = "reference";
    rows.push(cells);
  }
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const notes = report.rows.filter(({ note }) => note !== "").map(({ artefact, note }) => `- ${artefact}: ${note}`);
  return [
    "# Benchmark",
    "",
    line(header),
    line(header.map(() => "---")),
    ...rows.map(line),
    "",
    ...(notes.length > 0 ? [...notes, ""] : []),
    `${report.device}; ${report.threads} thread(s); input 1 x 3 x ${report.imgsz.join(" x ")}; ${report.warmup} warm-up runs, then ` +
      `${report.rounds} interleaved rounds in rotating order; load average ${report.loadAverage.map((load) => load.toFixed(2)).join(" before, ")} after. ` +
      "Verdict: optimised needs a median speed of at least 1.05 and a lower bound above 1; rejected: loses more accuracy than its limit.",
    "",
    "## Not measured",
    "",
    ...report.notMeasured.map((text) => `- ${text}`),
    "",
  ].join("\n");
}
