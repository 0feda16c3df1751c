import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { exampleReport } from "../../test/report-example.js";
import { renderReport } from "./render-report.js";
import { readReport, writeReport } from "./write-report.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "seg-report-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("writeReport", () => {
  test("the page can be drawn again from report.json", () => {
    writeReport(folder, exampleReport());
    expect(renderReport(readReport(folder))).toBe(readFileSync(join(folder, "report.html"), "utf8"));
  });

  test("report.json has what the page computes, and no picture of an earlier evaluation stays", () => {
    writeReport(folder, exampleReport());
    expect(existsSync(join(folder, "report-pictures/01.jpg"))).toBe(true);
    writeReport(folder, { ...exampleReport(), overlays: [] }, { promptFree: true });
    expect(existsSync(join(folder, "report-pictures"))).toBe(false);
    const { version, promptFree, derived } = JSON.parse(readFileSync(join(folder, "report.json"), "utf8"));
    expect({ version, promptFree }).toEqual({ version: 2, promptFree: true });
    expect(derived.lostShares).toEqual([20 / 700]);
    expect(derived.changes[0]).toMatchObject({
      model: "student INT8",
      against: "student fp32",
      sizeShare: 3.58 / 13.25,
    });
  });
});

describe("readReport", () => {
  test.each([
    ["cli/report-not-found", null],
    ["cli/report-damaged", "{"],
    ["cli/report-version", '{"version":1}'],
    ["cli/report-damaged", '{"version":2}'],
  ])("%s for %s", (code, text) => {
    if (text !== null) writeFileSync(join(folder, "report.json"), text);
    expect(() => readReport(folder)).toThrow(expect.objectContaining({ code }));
  });
});
