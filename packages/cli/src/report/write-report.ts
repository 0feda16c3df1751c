import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CommandError } from "../errors.js";
import { writeFileAtomic, writeJson } from "../files.js";
import { renderReport } from "./render-report.js";
import type { ReportData } from "./report-data.js";
import { PICTURES_FOLDER, parseReportJson, type ReportJson, reportJson } from "./report-json.js";

/**
 * Writes `report.html`, `report.json` and the pictures beside them.
 * @param extra - further keys of `report.json` that the page does not show
 */
export function writeReport(folder: string, data: ReportData, extra: Readonly<Record<string, unknown>> = {}): void {
  const { json, pictures } = reportJson(data);
  // Pictures of an earlier evaluation would stay behind.
  rmSync(join(folder, PICTURES_FOLDER), { recursive: true, force: true });
  for (const [file, bytes] of Object.entries(pictures)) writeFileAtomic(join(folder, file), bytes);
  writeJson(join(folder, "report.json"), { ...json, ...extra });
  writeFileAtomic(join(folder, "report.html"), renderReport(data));
}

/**
 * The data of a report that was written before.
 * @throws {@link CommandError} `cli/report-not-found`, `cli/report-version`, `cli/report-damaged`
 */
export function readReport(folder: string): ReportData {
  const file = join(folder, "report.json");
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    throw new CommandError({
      code: "cli/report-not-found",
      message: `${folder} holds no report.json. Run seg evaluate --output ${folder} first.`,
    });
  }
  const damaged = (why: string) =>
    new CommandError({
      code: "cli/report-damaged",
      message: `${file} cannot be used (${why}). Run seg evaluate again to write it.`,
    });
  let stored: Partial<ReportJson>;
  try {
    stored = JSON.parse(text) as Partial<ReportJson>;
  } catch (cause) {
    throw damaged((cause as Error).message);
  }
  if (stored.version !== 2) {
    throw new CommandError({
      code: "cli/report-version",
      message: `${file} is of version ${stored.version ?? "unknown"}, this tool draws version 2. Run seg evaluate again to write it.`,
    });
  }
  if (!Array.isArray(stored.models) || !Array.isArray(stored.overlays)) throw damaged("models or overlays are missing");
  return parseReportJson(stored as ReportJson, (name) => {
    try {
      return readFileSync(join(folder, name));
    } catch {
      throw damaged(`the picture ${name} is missing`);
    }
  });
}
