import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runSeg } from "./run-seg.js";
import { writeTinyDataset } from "./tiny-dataset.js";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "seg-doctor-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe("seg doctor", () => {
  test("looks at this machine, holds it against the data, trains and runs a small model", async () => {
    const { annotations } = await writeTinyDataset(join(root, "dataset"), { count: 6 });
    const { code, stdout, stderr } = await runSeg("doctor", "--data", annotations, "--json");
    expect(code, stderr).toBe(0);
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((text) => JSON.parse(text) as Record<string, unknown>);
    expect(lines.at(-1)).toMatchObject({ type: "result", command: "doctor", usable: true });
    const found = new Map(lines.filter(({ type }) => type === "diagnosis").map((entry) => [entry["what"], entry]));
    expect(found.get("Node.js")).toMatchObject({ state: "ok", detail: expect.stringContaining(process.versions.node) });
    expect(found.get("memory")!["detail"]).toMatch(
      /free of .*; training yolov8n-seg at \d+ px in batches of \d+ takes about/,
    );
    expect(found.get("self test")).toMatchObject({ state: "ok", detail: expect.stringContaining("trained yolov8p") });
  }, 180_000);

  test("ends with 1 and one sentence where something must be mended", async () => {
    const home = process.env["SEG_HUB_HOME"];
    // Nothing can be made below a file.
    process.env["SEG_HUB_HOME"] = "/dev/null/hub";
    try {
      const { code, stdout, stderr } = await runSeg("doctor", "--skip-self-test");
      expect(code).toBe(1);
      expect(stdout).toMatch(/problem {2}model cache {5}\/dev\/null\/hub, .*not writable\n +-> Set SEG_HUB_HOME/);
      expect(stderr).toBe(
        "error: seg cannot be used on this machine yet: model cache. What to do stands beside each of them.\n",
      );
    } finally {
      if (home === undefined) delete process.env["SEG_HUB_HOME"];
      else process.env["SEG_HUB_HOME"] = home;
    }
  });
});
