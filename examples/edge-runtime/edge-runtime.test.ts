import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { calibrate, exportOnnx, quantizeStatic, traceStudent, writeArtefacts } from "@seg/export";
import { createYolov8 } from "@seg/nn";
import { decodeImage, prepareYolo } from "@seg/preprocess";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parse } from "yaml";
import {
  accessibilityViolations,
  type Browser,
  complaintsOf,
  findChromium,
  launchChromium,
} from "../../scripts/browser/chromium.js";
import { buildPage } from "./build-page.js";
import type { FoundObject } from "./find-objects.js";
import { type Config, drawnPictures, type Pictures, runInNode } from "./main.js";
import { servePage } from "./serve-page.js";
import "@seg/tfjs-onnxruntime";

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
    browser = await launchChromium(chromiumPath!);
  });
  afterAll(() => browser?.close());

  // Scores of a fresh network lie so close together that a last digit decides which of two boxes suppresses the other; processors without
  // VNNI saturate where WebAssembly does not.
  test.each([
    ["model.onnx", 0.9],
    ["model_int8.onnx", 0.5],
  ])("shows what Node finds, for %s", async (name, least) => {
    const model = models[name]!;
    const all = await runInNode({ ...config, model }, { pictures, log() {} });
    const served = await servePage(await buildPage({ model, pictures }), { port: 0 });
    const page = await browser.newPage();
    page.setDefaultTimeout(120_000);
    const complaints = complaintsOf(page);
    page.on("request", (request) => request.url().startsWith(served.url) || complaints.push(`asks ${request.url()}`));
    try {
      await page.goto(served.url);
      await page.getByText("in bench-1.png.").waitFor();
      await page.getByLabel("Lowest score").fill(String(config.confidence));
      await page.keyboard.press("Tab");
      await page.getByText(/^[1-9]\d* objects in bench-1.png\.$/).waitFor();
      const rows = (await page.evaluate(
        "[...document.querySelectorAll('#found tr')].map((row) => [...row.cells].map((cell) => cell.textContent))",
      )) as string[][];
      expect(shareFound(rows, all["bench-1.png"]!)).toBeGreaterThanOrEqual(least);
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
      expect(await page.locator("#found tr").count()).toBeGreaterThan(0);

      // On a phone nothing is cut off.
      await page.setViewportSize({ width: 360, height: 740 });
      expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      expect(await accessibilityViolations(page)).toEqual([]);
      expect(complaints).toEqual([]);
    } finally {
      await page.close();
      await served.close();
    }
  });
});

/** Share of Node's objects that are in the page's table: same class, score within .002, edges within .3 pixels, mask within 2 % and 10 pixels. */
function shareFound(rows: readonly (readonly string[])[], objects: readonly FoundObject[]): number {
  const found = objects.filter(({ name, score, box, area }) =>
    rows.some(([shownName, ...shown]) => {
      const [shownScore = 0, ...rest] = shown.map(Number);
      const isPlaced = box.every((edge, k) => Math.abs(rest[k]! - edge) < 0.3);
      const isCut = Math.abs(rest[4]! - area!) < 0.02 * area! + 10;
      return shownName === name && Math.abs(shownScore - score) < 2e-3 && isPlaced && isCut;
    }),
  );
  return found.length / objects.length;
}
