import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, describe, expect, test, vi } from "vitest";
import { parse } from "yaml";
import { type Config, learnFromAnnotations } from "./main.js";

const data = join(import.meta.dirname, "../../../shared/data/bccd/annotations.json");
vi.setConfig({ testTimeout: 600_000 });

describe.skipIf(!existsSync(data))("with the photographs of ../shared/data/bccd", () => {
  const output = mkdtempSync(join(tmpdir(), "seg-blood-cells-"));
  afterAll(() => rmSync(output, { recursive: true }));

  test("checks, trains, quantises, measures and judges by what is required", async () => {
    const said = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, "write").mockReturnValue(true));
    const config = parse(readFileSync(join(import.meta.dirname, "config.smoke.yaml"), "utf8")) as Config;
    const paths = { data, images: join(data, "../images"), output };
    const lines: string[] = [];
    const { models, isAccepted } = await learnFromAnnotations(config, { ...paths, log: (line) => lines.push(line) });
    expect(models.map(({ kind }) => kind)).toEqual(["student-fp32", "student-int8"]);
    expect(isAccepted).toBe(true);
    expect(lines.slice(-4, -1).map((line) => line.split(" ")[0])).toEqual(["RBC", "WBC", "Platelets"]);
    for (const file of ["report.html", "student/optimized/model_int8.onnx", "plan.yaml"])
      expect(existsSync(join(output, file)), file).toBe(true);

    // Again, with more required: nothing is trained a second time, and one epoch is not enough.
    const strict = { ...config, required: { map50: 0.78, map: 0.46 } };
    const again = await learnFromAnnotations(strict, { ...paths, log() {} });
    expect(again.models).toEqual(models);
    expect(again.isAccepted).toBe(false);
    for (const spy of said) spy.mockRestore();
  });
});
