import { barChart, html, raw, type SafeHtml } from "@seg/train/charts";
import type { AblationReport } from "./ablate.js";

/** Units of one line of text. */
const LINE = 16;
/** Characters of one line at the chart's width. */
const WRAP = 62;

/** Breaks a sentence into lines. */
function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > WRAP) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return line === "" ? lines : [...lines, line];
}

/** `kd_ablation`: the mean of every arm as a bar, and the verdict in words below. */
export function ablationPlot({ metric, arms, verdict }: Omit<AblationReport, "runs">): SafeHtml {
  const seeds = Math.max(0, ...arms.map(({ runs }) => runs));
  const chart = barChart({
    title: `${metric} of the control arms`,
    groups: arms.map(({ adds, mean }) => ({ label: adds, values: [mean] })),
    series: [metric],
    xLabel: `${metric}, mean over ${seeds} ${seeds === 1 ? "seed" : "seeds"}`,
    max: 1,
    format: (value) => value.toFixed(3),
  });
  const box = /^(<svg [^>]*viewBox="0 0 [\d.]+ )([\d.]+)"/.exec(chart.text);
  if (box === null) return chart;
  const height = Number(box[2]);
  const lines = verdict.flatMap(wrap);
  const words = html`${lines.map((line, i) => html`<text x="4" y="${height + LINE * (i + 1)}" font-size="11" fill="var(--ink, #16202c)">${line}</text>`)}`;
  const taller = chart.text.replace(box[0], `${box[1]}${height + LINE * (lines.length + 1)}"`);
  return raw(taller.replace(/<\/svg>$/, `${words.text}</svg>`));
}
