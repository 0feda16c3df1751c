import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../../test/databases.js";
import { cocoDocument } from "../../../test/datasets.js";
import { runHub } from "../../../test/run-hub.js";
import { fingerprintDataset } from "../../advisor/fingerprint.js";
import { LearningStore } from "../../advisor/learning-store.js";
import { openDatabase } from "../../sql/open-database.js";

const directory = temporaryDirectory();
let root: string;
let file: string;
const run = (...argv: string[]) => runHub(argv, { env: { SEG_HUB_HOME: root } });

beforeEach(() => {
  root = mkdtempSync(join(directory.path, "hub-"));
  file = join(root, "annotations.json");
  writeFileSync(file, cocoDocument(600));
});

describe("seg-hub advise, feedback, stats", () => {
  test("a plan in words and as JSON", async () => {
    const words = await run(
      "advise",
      file,
      "--task",
      "torn straps on bags",
      "--priority",
      "speed",
      "--explain",
      "minimal",
    );
    expect(words).toMatchObject({ status: 0, out: expect.stringMatching(/^yolov8n-seg at 320 px taught by /) });
    const { out } = await run("advise", file, "--json");
    expect(JSON.parse(out)).toMatchObject({ choices: { student: "yolov8s-seg" }, adjustments: [] });
  });

  test("what was learned counts; feedback is kept and told", async () => {
    expect((await run("stats")).out).toContain("No run was recorded yet");
    const sql = await openDatabase(join(root, "registry.sqlite"));
    const learning = new LearningStore({ sql });
    const fingerprint = await fingerprintDataset(JSON.parse(cocoDocument(600)));
    for (let i = 0; i < 12; i++) {
      const student = i % 2 === 0 ? "yolov8s-seg" : "yolov8n-seg";
      await learning.begin({ run_id: `r${i}`, plan: { id: "p", choices: { student } }, fingerprint });
      await learning.finish(`r${i}`, { metric: i % 2 === 0 ? 0.5 : 0.8, metric_definition: "mAP50-95, test" });
    }
    await sql.close();
    expect((await run("advise", file)).out).toMatch(
      /student +yolov8n-seg - on similar data yolov8n-seg was rewarded 0\.80/,
    );
    const given = await run("feedback", "r1", "--rating", "5", "--tag", "sharp", "--action", "deployed");
    expect(given).toMatchObject({ status: 0, out: expect.stringContaining("counts in the next plan") });
    expect(JSON.parse(readFileSync(join(root, "feedback.jsonl"), "utf8"))).toMatchObject({
      run_id: "r1",
      rating: 5,
      actions: ["deployed"],
    });
    expect(JSON.parse((await run("stats", "--json")).out)).toMatchObject({
      runs: 12,
      succeeded: 12,
      ratings: { rating: 5 },
    });
    const own = await run("feedback", "export", "--user", "ana");
    expect(JSON.parse(own.out)).toEqual({ runs: [], feedback: [] });
    await run("feedback", "r2", "--comment", "blurred");
    expect(await run("feedback", "forget", "--user", "nobody")).toMatchObject({
      status: 0,
      out: expect.stringContaining("0 runs and 0 pieces of feedback of nobody are removed"),
    });
    expect((await run("feedback", "export", "x", "--user", "ana")).status).toBe(2);
  });

  test.each([
    [["advise"], 2, /one COCO file/],
    [["advise", "x.json", "--priority", "fast"], 2, /quality, balanced, speed, memory/],
    [["feedback"], 2, /one run id/],
    [["feedback", "r1", "--rating", "6"], 2, /1/],
    [["feedback", "nobody", "--rating", "3"], 1, /No run "nobody"/],
  ])("%o is refused", async (argv, status, message) => {
    const { err, ...rest } = await run(...argv);
    expect(rest.status).toBe(status);
    expect(err).toMatch(message);
  });
});
