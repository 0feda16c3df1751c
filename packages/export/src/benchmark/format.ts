import type { BenchmarkReport } from "./benchmark.js";

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2);

/** A benchmark report as Markdown: the table, how it was measured, what was not. MB = 10^6 bytes. */
export function formatBenchmarkMarkdown(report: BenchmarkReport): string {
  const header = [
    "artefact",
    "precision",
    "MB",
    "gzip MB",
    "parameters",
    "median ms",
    "p95 ms",
    "min ms",
    "FPS",
    "peak RSS MB",
    `speed vs ${report.baseline} [95 %]`,
    "verdict",
  ];
  const rows = report.rows.map((row) => [
    row.artefact,
    row.precision,
    megabytes(row.bytes),
    megabytes(row.gzipBytes),
    String(row.parameters),
    row.medianMs.toFixed(2),
    row.p95Ms.toFixed(2),
    row.minMs.toFixed(2),
    row.fps.toFixed(1),
    row.peakRssBytes === null ? "not measured" : (row.peakRssBytes / 1e6).toFixed(0),
    `${row.speedup.toFixed(2)} [${row.speedupLow.toFixed(2)}, ${row.speedupHigh.toFixed(2)}]`,
    row.verdict,
  ]);
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
    `${report.device}; onnxruntime-node on the CPU, ${report.threads} thread(s); input 1 x 3 x ${report.imgsz.join(" x ")}; ${report.warmup} warm-up runs, then ` +
      `${report.rounds} interleaved rounds in rotating order; load average ${report.loadAverage.map((load) => load.toFixed(2)).join(" before, ")} after. ` +
      "Verdict: optimised needs a median speed of at least 1.05 and a lower bound above 1.",
    "",
    "## Not measured",
    "",
    ...report.notMeasured.map((text) => `- ${text}`),
    "",
  ].join("\n");
}
