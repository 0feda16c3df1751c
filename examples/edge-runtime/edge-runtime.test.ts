import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { calibrate, exportOnnx, quantizeStatic, traceStudent, writeArtefacts } from "@seg/export";
import { createYolov8 } from "@seg/nn";
import { decodeImage, prepareYolo } from "@seg/preprocess";
import * as tf from "@tensorflow/tfjs";
import type { AxeResults } from "axe-core";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parse } from "yaml";
import { buildPage } from "./build-page.js";
import type { FoundObject } from "./find-objects.js";
import { type Config, drawnPictures, type Pictures, runInNode } from "./main.js";
import { servePage } from "./serve-page.js";
import "@seg/tfjs-onnxruntime";

/** A Chromium: SEG_TEST_CHROMIUM, else one on PATH; null skips by name. */
function findChromium(): string | null {
  const named = process.env["SEG_TEST_CHROMIUM"];
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const candidates = named ? [named] : folders.flatMap((folder) => names.map((name) => join(folder, name)));
  return candidates.find((path) => existsSync(path)) ?? null;
}

// A browser on a busy machine of two cores; nothing here waits for time to pass.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const config = parse(readFileSync(join(import.meta.dirname, "config.smoke.yaml"), "utf8")) as Config;
const folder = mkdtempSync(join(tmpdir(), "seg-edge-"));
let models: Record<string, string>;
let pictures: Pictures;

/** A network of 64 px that has learnt nothing: its answers are as exact as those of one that has. */
beforeAll(async () => {
  await tf.setBackend("onnxruntime");
  pictures = await drawnPictures(config);
  const classes = { classes: ["coin", "nut"].map((name, index) => ({ index, categoryId: index + 1, name })) };
  const network = createYolov8({ scale: "p", classes: 2, segment: true, seed: 1 });
  const facts = { imgsz: 64, task: "segment", classes, author: "test", license: "Apache-2.0" } as const;
  const { model } = await exportOnnx({ trace: () => traceStudent({ model: network, imgsz: 64 }), ...facts });
  const inputs = await Promise.all(
    Object.values(pictures).map(async (bytes) => prepareYolo(await decodeImage(bytes), { size: 64 }).data),
  );
  const calibration = await calibrate(model, inputs);
  models = writeArtefacts(folder, {
    models: { "model.onnx": model, "model_int8.onnx": quantizeStatic(model, calibration) },
    ...{ model, classes },
  });
  network.dispose();
});
afterAll(() => rmSync(folder, { recursive: true }));

test("finds objects in Node and says how long it takes", async () => {
  const lines: string[] = [];
  const log = (line: string) => lines.push(line);
  const found = await runInNode({ ...config, model: models["model_int8.onnx"]! }, { pictures, log });
  expect(Object.keys(found)).toEqual(["bench-1.png", "bench-2.png"]);
  for (const { name, score, box, area } of Object.values(found).flat()) {
    expect(["coin", "nut"]).toContain(name);
    expect(score).toBeGreaterThan(config.confidence);
    expect(box[0]).toBeLessThanOrEqual(box[2]!);
    expect(area).toBeGreaterThanOrEqual(0);
  }
  expect(lines.at(-1)).toMatch(/^Node: \d+\.\d\d ms, 95 % within \d+\.\d\d ms, one thread \(5 runs\)$/);
});

const chromiumPath = findChromium();
describe.skipIf(chromiumPath === null)("the page in Chromium", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: chromiumPath!, args: ["--no-sandbox", "--disable-gpu"] });
  });
  afterAll(() => browser?.close());

  test.each(["model.onnx", "model_int8.onnx"])("shows what Node finds, for %s", async (name) => {
    const model = models[name]!;
    // Scores of a fresh network lie close together: the best of them, so that a last digit decides nothing.
    const all = await runInNode({ ...config, model }, { pictures, log() {} });
    const served = await servePage(await buildPage({ model, pictures }), { port: 0 });
    const page = await browser.newPage();
    page.setDefaultTimeout(120_000);
    const complaints: string[] = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("request", (request) => request.url().startsWith(served.url) || complaints.push(`asks ${request.url()}`));
    try {
      await page.goto(served.url);
      await page.getByText("in bench-1.png.").waitFor();
      await page.getByLabel("Lowest score").fill(String(config.confidence));
      await page.keyboard.press("Tab");
      const objects = all["bench-1.png"]!;
      await page.getByText(`${objects.length} objects in bench-1.png.`).waitFor();
      const rows = (await page.evaluate(
        "[...document.querySelectorAll('#found tr')].map((row) => [...row.cells].map((cell) => cell.textContent))",
      )) as string[][];
      expectSame(rows, objects);
      // Drawn: the canvas shows the picture enlarged, with colours of masks and boxes that the picture does not have.
      expect(await page.getByRole("img").getAttribute("aria-label")).toContain("bench-1.png with");
      expect(await page.evaluate(`document.getElementById("picture").width`)).toBe(800);
      await page.getByRole("button", { name: "Measure the latency" }).click();
      await page.getByText("Measured.").waitFor();
      expect(await page.locator("#latency").textContent()).toMatch(/decoding: \d+\.\d ms, 95 % within/);
      await page.getByLabel("or one of yours").setInputFiles({
        ...{ name: "mine.png", mimeType: "image/png", buffer: Buffer.from(pictures["bench-2.png"]!) },
      });
      await page.getByText("in mine.png.").waitFor();
      expect(await page.locator("#found tr").count()).toBe(all["bench-2.png"]!.length);

      // On a phone nothing is cut off.
      await page.setViewportSize({ width: 360, height: 740 });
      expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      // Through the debugger: the page's policy forbids foreign scripts.
      await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
      const { violations } = (await page.evaluate("axe.run()")) as AxeResults;
      expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`)).toEqual([]);
      expect(complaints).toEqual([]);
    } finally {
      await page.close();
      await served.close();
    }
  });
});

/** The page's rows against Node's objects: the same numbers to the last digit shown, apart from the order of summation in the two runtimes. */
function expectSame(rows: readonly (readonly string[])[], objects: readonly FoundObject[]): void {
  expect(rows.map(([name]) => name)).toEqual(objects.map(({ name }) => name));
  for (const [i, { score, box, area }] of objects.entries()) {
    const [, shownScore, ...rest] = rows[i]!.map(Number);
    expect(Math.abs(shownScore! - score)).toBeLessThan(2e-3);
    for (const [k, edge] of box.entries()) expect(Math.abs(rest[k]! - edge)).toBeLessThan(0.3);
    expect(Math.abs(rest[4]! - area!)).toBeLessThan(0.02 * area! + 10);
  }
}
