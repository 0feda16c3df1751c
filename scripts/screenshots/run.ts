/**
 * npm run screenshots -- [EXPERIMENT] [--no-dashboard]: pictures of the report and of the dashboard for docs/screenshots, taken in headless
 * Chromium. The report is drawn from EXPERIMENT/report.json (seg evaluate; experiments/demo of npm run demo where none is named), the
 * validation page from EXPERIMENT/data, the dashboard by its own tests. Ends with 1 on a console error, a violation of the
 * accessibility rules, a page that scrolls sideways, or a picture above 300 kB.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import sharp from "sharp";
import { renderReport } from "../../packages/cli/src/report/render-report.js";
import { readReport } from "../../packages/cli/src/report/write-report.js";
import {
  accessibilityViolations,
  type Browser,
  complaintsOf,
  findChromium,
  launchChromium,
} from "../browser/chromium.js";

const MAX_BYTES = 300_000;
const root = resolve(import.meta.dirname, "../..");
const folder = join(root, "docs/screenshots");

/** One picture of a page. */
interface Shot {
  readonly name: string;
  readonly page: "report" | "validation";
  readonly width: number;
  /** Of the picture; the rest of the page is cut off. */
  readonly height: number;
  /** Selector of the section that is shown. @defaultValue the top of the page */
  readonly from?: string;
  readonly isDark?: boolean;
  readonly isPhone?: boolean;
  readonly isPrint?: boolean;
}

/** Around a section. */
const MARGIN = 12;
/** A4 without margins of 12 mm, at 96 pixels an inch. */
const [PRINT_WIDTH, PRINT_HEIGHT] = [703, 1032];

const SHOTS: readonly Shot[] = [
  { name: "report-summary", page: "report", width: 1280, height: 1180 },
  { name: "report-classes-dark", page: "report", width: 1280, height: 1040, from: "#classes", isDark: true },
  { name: "report-curves", page: "report", width: 1280, height: 1075, from: "#evaluation" },
  { name: "report-lost", page: "report", width: 1280, height: 900, from: "#pictures" },
  { name: "report-phone", page: "report", width: 360, height: 1500, isPhone: true },
  { name: "report-print", page: "report", width: PRINT_WIDTH, height: PRINT_HEIGHT, isPrint: true },
  { name: "validation", page: "validation", width: 1280, height: 900 },
];

async function shoot(browser: Browser, url: string, shot: Shot): Promise<string[]> {
  const { name, width, height, from, isDark = false, isPhone = false, isPrint = false } = shot;
  const page = await browser.newPage({
    viewport: { width, height: Math.min(height, 900) },
    colorScheme: isDark ? "dark" : "light",
    ...(isPhone ? { isMobile: true, hasTouch: true } : {}),
  });
  const complaints = complaintsOf(page);
  try {
    await page.goto(url);
    if (isPrint) await page.emulateMedia({ media: "print" });
    // A section without the contents beside it, which stand at the top of a long page.
    const box = from === undefined ? null : await page.locator(from).boundingBox();
    const clip =
      box === null
        ? { x: 0, y: 0, width, height }
        : {
            ...{ x: box.x - MARGIN, y: box.y - MARGIN },
            ...{ width: box.width + 2 * MARGIN, height: Math.min(height, box.height + 2 * MARGIN) },
          };
    const png = await page.screenshot({ fullPage: true, clip, animations: "disabled" });
    const small = await sharp(png).png({ palette: true, quality: 90, compressionLevel: 9 }).toBuffer();
    writeFileSync(join(folder, `${name}.png`), small);
    // Paper has no pointer: rules about the size of targets say nothing about it.
    const problems = [...complaints, ...(isPrint ? [] : await accessibilityViolations(page))];
    if (await page.evaluate("document.documentElement.scrollWidth > innerWidth")) problems.push("scrolls sideways");
    if (small.length > MAX_BYTES) problems.push(`has ${small.length} bytes, more than ${MAX_BYTES}`);
    console.log(`${name}.png  ${(small.length / 1000).toFixed(0)} kB`);
    return problems.map((problem) => `${name}: ${problem}`);
  } finally {
    await page.close();
  }
}

const args = process.argv.slice(2);
const experiment = args.find((arg) => !arg.startsWith("--")) ?? join(root, "experiments/demo");
const chromium = findChromium();
if (chromium === null) {
  console.error(
    "No Chromium was found. Install one (Debian: apt-get install chromium) or name it in SEG_TEST_CHROMIUM.",
  );
  process.exit(1);
}
const scratch = mkdtempSync(join(tmpdir(), "seg-screenshots-"));
const problems: string[] = [];
const browser = await launchChromium(chromium);
try {
  const report = join(scratch, "report.html");
  writeFileSync(report, renderReport(readReport(experiment)));
  const pages = { report, validation: resolve(experiment, "data/validation.html") };
  for (const shot of SHOTS) {
    const file = pages[shot.page];
    if (!existsSync(file)) {
      console.log(`${shot.name}.png  left as it is: ${file} was not found`);
      continue;
    }
    problems.push(...(await shoot(browser, pathToFileURL(file).href, shot)));
  }
} finally {
  await browser.close();
  rmSync(scratch, { recursive: true, force: true });
}
if (!args.includes("--no-dashboard")) {
  const { status } = spawnSync("npx", ["vitest", "run", "--root", "packages/model-hub", "test/dashboard.test.ts"], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, SEG_SCREENSHOTS: folder },
  });
  if (status !== 0) problems.push("the dashboard's tests failed");
}
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
