import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";

/** A Chromium for the dashboard's tests: SEG_TEST_CHROMIUM, else one on PATH; null skips them by name. */
export function findChromium(): string | null {
  const named = process.env["SEG_TEST_CHROMIUM"];
  if (named !== undefined && named !== "") return existsSync(named) ? named : null;
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
      if (folder !== "" && existsSync(join(folder, name))) return join(folder, name);
    }
  }
  return null;
}
