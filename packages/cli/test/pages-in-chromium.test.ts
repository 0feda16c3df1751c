import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  accessibilityViolations,
  type Browser,
  complaintsOf,
  findChromium,
  launchChromium,
} from "../../../scripts/browser/chromium.js";
import { renderReport } from "../src/report/render-report.js";
import { exampleReport } from "./report-example.js";
import { runSeg } from "./run-seg.js";
import { writeTinyDataset } from "./tiny-dataset.js";

const browserPath = findChromium();
// A browser on a busy machine of two cores; nothing here waits for time to pass.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

describe.skipIf(browserPath === null)("pages in Chromium", () => {
  let browser: Browser;
  let root: string;
  const pages: Record<string, string> = {};

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "seg-pages-"));
    pages["report"] = join(root, "report.html");
    await writeFile(pages["report"], renderReport(exampleReport()));
    const { annotations } = await writeTinyDataset(join(root, "dataset"), { count: 3 });
    const { code, stderr } = await runSeg("validate", "--data", annotations, "--output", join(root, "splits"));
    expect(code, stderr).toBe(0);
    pages["validation"] = join(root, "splits", "validation.html");
    browser = await launchChromium(browserPath!);
  });
  afterAll(async () => {
    await browser?.close();
    await rm(root, { recursive: true, force: true });
  });

  test.each(["report", "validation"])(
    "the %s asks for nothing, complains of nothing, is accessible and fits, light, dark and on a phone",
    async (name) => {
      const views = [
        { viewport: { width: 1280, height: 900 } },
        { viewport: { width: 1280, height: 900 }, colorScheme: "dark" as const },
        { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true },
      ];
      for (const view of views) {
        const page = await browser.newPage(view);
        const complaints = complaintsOf(page);
        page.on("request", (request) => {
          if (!/^(?:file|data):/.test(request.url())) complaints.push(`asks ${request.url()}`);
        });
        await page.goto(pathToFileURL(pages[name]!).href);
        expect(await accessibilityViolations(page), JSON.stringify(view)).toEqual([]);
        expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
        // On paper no column is cut off either.
        await page.emulateMedia({ media: "print" });
        await page.setViewportSize({ width: 703, height: 1032 });
        expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
        expect(complaints).toEqual([]);
        await page.close();
      }
    },
  );

  test("the keyboard reaches the sections and the numbers of a plot", async () => {
    const page = await browser.newPage();
    await page.goto(pathToFileURL(pages["report"]!).href);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    expect(await page.evaluate("document.activeElement.id")).toBe("report");
    const numbers = page.locator("details").first();
    await numbers.locator("summary").focus();
    await page.keyboard.press("Enter");
    expect(await numbers.getByRole("table").isVisible()).toBe(true);
    await page.close();
  });
});
