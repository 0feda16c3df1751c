import { existsSync, readFileSync } from "node:fs";
import type { JsonObject } from "../config.js";
import { readResults } from "../plots/results-plot.js";
import type { RunDirectory } from "../run-directory.js";
import { toYaml } from "../yaml.js";
import { type BoardEvent, encodeEventFile } from "./event-file.js";

/** TensorBoard takes every file whose name contains `tfevents`. */
export const EVENT_FILE = "events.out.tfevents.seg";

/** A YAML text as a Markdown code block. */
const code = (yaml: string): string => `\`\`\`yaml\n${yaml}\`\`\``;

/**
 * Writes the whole run as one TensorBoard event file: every column of `results.csv` as a scalar over the epochs, `args.yaml` and the preprocessing
 * as texts of step 0. Written anew each time, so that it is right after a resumption too.
 *
 * @param preprocessing - how images become network inputs: size, letterbox, mean, scale
 */
export function writeTensorBoard(run: RunDirectory, { preprocessing }: { preprocessing?: JsonObject } = {}): void {
  const texts: Record<string, string> = {};
  if (existsSync(run.file("args.yaml"))) texts["args"] = code(readFileSync(run.file("args.yaml"), "utf8"));
  if (preprocessing) texts["preprocessing"] = code(toYaml(preprocessing));
  const events: BoardEvent[] = Object.keys(texts).length > 0 ? [{ step: 0, wallTime: 0, texts }] : [];
  if (existsSync(run.file("results.csv"))) {
    const { columns, rows } = readResults(run);
    const [epoch, time] = [columns.indexOf("epoch"), columns.indexOf("time")];
    for (const row of rows) {
      const scalars: Record<string, number> = {};
      columns.forEach((column, k) => {
        const value = row[k] ?? null;
        if (k !== epoch && k !== time && value !== null) scalars[column] = value;
      });
      events.push({ step: row[epoch] ?? 0, wallTime: row[time] ?? 0, scalars });
    }
  }
  run.write(EVENT_FILE, encodeEventFile(events));
}
