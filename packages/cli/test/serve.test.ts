import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HubClient } from "@seg/model-hub/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, serveOptions } from "../src/commands/serve.js";
import { accuracyOf, hubMetrics } from "../src/hub/hub-metrics.js";
import { mergeDatasets } from "../src/hub/merge-datasets.js";
import type { Output } from "../src/output.js";
import { resolveConfig } from "../src/resolve-config.js";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "seg-serve-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Starts `seg serve` in this process. */
async function start(root: string) {
  const lines: string[] = [];
  const stop = new AbortController();
  let ended: Promise<void> = Promise.resolve();
  const url = await new Promise<string>((resolve, reject) => {
    const output: Output = {
      json: true,
      line: (text) => lines.push(text),
      progress() {},
      settle() {},
      event: (event) => resolve(String(event["url"])),
      result() {},
    };
    const resolved = resolveConfig({ argv: ["--root", root, "--port", "0"], specs: serveOptions });
    ended = serve(resolved.values, output, { positional: [], signal: stop.signal, config: resolved });
    ended.catch(reject);
  });
  return {
    url,
    lines,
    token: lines.find((line) => line.startsWith("token"))?.split(/\s+/)[1] ?? null,
    async close() {
      stop.abort();
      await ended;
    },
  };
}

describe("seg serve", () => {
  test("prints an administrator's token at the first start only and offers seg's own trainers", async () => {
    const root = join(directory, "hub");
    const first = await start(root);
    expect(first.token).toMatch(/^segh_[\w-]{43}$/);
    expect(first.lines).toContain(`dashboard   ${first.url}/dashboard`);
    const client = new HubClient({ baseUrl: first.url, token: first.token });
    expect(await client.whoAmI()).toEqual({ name: "first start", role: "admin" });
    expect((await client.listTrainers()).trainers).toMatchObject([
      { id: "student", dataset_schema: "coco" },
      { id: "teacher", dataset_schema: "coco" },
    ]);
    expect((await client.listLayers()).layers.map(({ layer }) => layer)).toEqual(["layer-1", "layer-2"]);
    await client.createToken({ name: "line 1", role: "user" });
    await first.close();
    const second = await start(root);
    expect(second.token).toBeNull();
    expect(await new HubClient({ baseUrl: second.url, token: first.token }).whoAmI()).toMatchObject({ role: "admin" });
    await second.close();
    const audit = readFileSync(join(root, "audit.jsonl"), "utf8").trim().split("\n");
    expect(audit.map((line) => (JSON.parse(line) as { action: string }).action)).toEqual(["createToken"]);
  });

  test("wants all of a JWT issuer or nothing", async () => {
    const resolved = resolveConfig({
      argv: ["--root", join(directory, "jwt"), "--jwt-issuer", "https://id"],
      specs: serveOptions,
    });
    const output = { json: true, line() {}, progress() {}, settle() {}, event() {}, result() {} };
    await expect(
      serve(resolved.values, output, { positional: [], signal: new AbortController().signal, config: resolved }),
    ).rejects.toMatchObject({ code: "cli/jwt-incomplete" });
  });
});

describe("mergeDatasets", () => {
  const write = (name: string, coco: unknown) => {
    mkdirSync(join(directory, name, "images"), { recursive: true });
    writeFileSync(join(directory, name, "coco.json"), JSON.stringify(coco));
    return {
      record: { name } as never,
      directory: join(directory, name),
      annotations: "coco.json",
      images: "images",
      table: null,
    };
  };
  const box = (id: number, image_id: number, category_id: number) => ({
    id,
    image_id,
    category_id,
    bbox: [1, 2, 3, 4],
  });

  test("joins categories by name and keeps every annotation with its image", async () => {
    const a = write("a", {
      images: [{ id: 7, file_name: "x.png", width: 8, height: 8 }],
      categories: [{ id: 3, name: "bag" }],
      annotations: [box(1, 7, 3)],
    });
    const b = write("b", {
      images: [{ id: 7, file_name: "x.png", width: 8, height: 8 }],
      categories: [
        { id: 3, name: "strap" },
        { id: 4, name: "bag" },
      ],
      annotations: [box(1, 7, 4), box(2, 7, 3)],
    });
    expect(await mergeDatasets([a, b], directory)).toEqual({
      categories: [
        { id: 1, name: "bag" },
        { id: 2, name: "strap" },
      ],
      images: [
        { id: 1, file_name: "a/images/x.png", width: 8, height: 8 },
        { id: 2, file_name: "b/images/x.png", width: 8, height: 8 },
      ],
      annotations: [box(1, 1, 1), box(2, 2, 1), box(3, 2, 2)],
    });
  });

  test("refuses a data set without images, by name", async () => {
    const bare = { ...write("c", {}), images: null };
    await expect(mergeDatasets([bare], directory)).rejects.toMatchObject({
      code: "NO_ANNOTATIONS",
      details: { dataset: "c" },
    });
  });
});

describe("hubMetrics", () => {
  test("accuracy is TP / (TP + FP + FN)", () => {
    // TP 6, FP 2, FN 4: precision 0.75, recall 0.6, accuracy 6 / 12.
    expect(accuracyOf(0.75, 0.6)).toBeCloseTo(0.5, 12);
    expect(accuracyOf(0, 0)).toBe(0);
  });

  test("takes masks where there are masks, boxes else", () => {
    const boxes = { mAP50: 0.8, "mAP50-95": 0.5, precision: 0.75, recall: 0.6, loss: 1.5 };
    expect(hubMetrics(boxes)).toMatchObject({ map50: 0.8, map50_95: 0.5, mask_iou: null, loss: 1.5, precision: 0.75 });
    const masks = { ...boxes, mask_mAP50: 0.7, "mask_mAP50-95": 0.4, mask_precision: 1, mask_recall: 1, mask_IoU: 0.9 };
    expect(hubMetrics(masks)).toMatchObject({ map50: 0.7, mask_iou: 0.9, accuracy: 1 });
    expect(hubMetrics({})).toMatchObject({ map50: null, accuracy: null, loss: null });
  });
});
