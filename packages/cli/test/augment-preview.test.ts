import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadPipeline } from "@seg/augment";
import sharp from "sharp";
import { afterAll, describe, expect, test } from "vitest";
import { createPlayground } from "./playground.js";
import { runSeg } from "./run-seg.js";

const { fresh, dataset, remove } = await createPlayground();
const good = await dataset();
afterAll(remove);

describe("seg augment-preview", () => {
  test("writes a sheet, the resolved pipeline and the reasons; the same again", async () => {
    const sheets: Buffer[] = [];
    // One after the other: a run catches the process's streams.
    for (const _ of [1, 2]) {
      const sheet = join(fresh(), "sheet.png");
      const { code, stdout, stderr } = await runSeg(
        "augment-preview",
        ...["--data", good.annotations, "--characteristics", "low_contrast", "changes_size", "--lighting", "poor"],
        ...["--intensity", "high", "--count", "2", "--variants", "3", "--mixing", "--output", sheet, "--json"],
      );
      expect({ code, error: code === 0 ? "" : stderr }).toEqual({ code: 0, error: "" });
      const result = JSON.parse(stdout.trim().split("\n").at(-1)!);
      expect(result).toMatchObject({ type: "result", images: 2, variants: 3, sheet });
      expect(result.transforms).toEqual(expect.arrayContaining(["mosaic", "RandomGamma", "CLAHE", "mixup"]));
      expect(loadPipeline(readFileSync(result.pipeline, "utf8")).info().types).toEqual(result.transforms);
      sheets.push(readFileSync(sheet));
    }
    const { width, format, channels } = await sharp(sheets[0]!).metadata();
    expect({ width, format, channels }).toEqual({ width: 4 * 330 + 10, format: "png", channels: 3 });
    expect(Buffer.compare(sheets[0]!, sheets[1]!)).toBe(0);
  });
  test("unknown words and contradictions are refused in a sentence", async () => {
    const run = (...words: string[]) => runSeg("augment-preview", "--data", good.annotations, ...words);
    const unknown = await run("--characteristics", "low_contrst");
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain('did you mean "low_contrast"?');
    const both = await run("--config", "a.yaml", "--characteristics", "low_contrast");
    expect(both.code).toBe(2);
    const odd = await run("--output", "sheet.jpg");
    expect(odd.code).toBe(2);
  });
});
