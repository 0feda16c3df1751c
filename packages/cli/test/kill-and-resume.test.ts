import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundleSeg } from "./bundle-seg.js";
import { runSeg } from "./run-seg.js";
import { writeTinyDataset } from "./tiny-dataset.js";

const EPOCHS = 3;
const PACKAGE = join(import.meta.dirname, "..");
/** How often files are looked at while a run is waited for, ms. An epoch takes some hundred. */
const POLL_MS = 2;

let root: string;
let annotations: string;
let seg: Awaited<ReturnType<typeof bundleSeg>>;

interface Ended {
  readonly code: number | null;
  readonly events: readonly Record<string, unknown>[];
  readonly stderr: string;
}

interface Start {
  readonly resume?: boolean;
  readonly seed?: number;
}

const words = (directory: string, { resume = false, seed = 5 }: Start): string[] => [
  ...["train-student", "--data", annotations, "--val", annotations, "--output", directory, "--student", "yolov8p"],
  ...["--imgsz", "64", "--epochs", String(EPOCHS), "--batch", "3", "--seed", String(seed), "--threads", "1", "--json"],
  ...(resume ? ["--resume"] : []),
];

/** The last line of a killed process may be cut. */
const eventsOf = (stdout: string): Record<string, unknown>[] =>
  stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));

/** Trains to the end, in this process. */
async function train(directory: string, start: Start = {}): Promise<Ended> {
  const { code, stdout, stderr } = await runSeg(...words(directory, start));
  return { code, events: eventsOf(stdout), stderr };
}

/** Trains in a process of its own, and sends it `signal` as soon as `isDue` says so. */
function interrupt(
  directory: string,
  { signal, isDue, ...start }: Start & { readonly signal: NodeJS.Signals; readonly isDue: (stdout: string) => boolean },
): Promise<Ended & { readonly signal: NodeJS.Signals | null }> {
  const child = spawn(process.execPath, [...seg.argv, ...words(directory, start)], {
    cwd: PACKAGE,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  let isSent = false;
  const send = () => {
    if (isSent || !isDue(stdout)) return;
    isSent = true;
    child.kill(signal);
  };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    send();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const poll = setInterval(send, POLL_MS);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, endedBy) => {
      clearInterval(poll);
      resolve({ code, signal: endedBy, events: eventsOf(stdout), stderr });
    });
  });
}

/** Rows of results.csv without the time column. */
function results(directory: string): string[][] {
  const [header = [], ...rows] = readFileSync(join(directory, "results.csv"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => line.split(","));
  const time = header.indexOf("time");
  expect(time).toBeGreaterThanOrEqual(0);
  return [header, ...rows].map((row) => row.filter((_, i) => i !== time));
}
const weights = (directory: string) => readFileSync(join(directory, "weights", "student.safetensors"));

const lines = (path: string) => (existsSync(path) ? readFileSync(path, "utf8").split("\n").length - 1 : 0);
/** The first step of an epoch was reported: the epoch has begun and is not done. */
const isBegun = (epoch: number) => (stdout: string) =>
  stdout.split("\n").some((line) => line.startsWith('{"type":"step"') && line.includes(`"epoch":${epoch},`));

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "seg-kill-"));
  ({ annotations } = await writeTinyDataset(join(root, "dataset"), { count: 6 }));
  seg = await bundleSeg();
});
afterAll(async () => {
  await seg.remove();
  await rm(root, { recursive: true, force: true });
});

describe("a training run", () => {
  test("killed four times and resumed each time ends with the bytes of an unbroken run", async () => {
    const [whole, broken] = [join(root, "whole"), join(root, "broken")];
    const reference = await train(whole);
    expect(reference.code, reference.stderr).toBe(0);

    const moments: [moment: string, isDue: (stdout: string) => boolean][] = [
      ["before there is any checkpoint", (stdout) => stdout.includes('{"type":"run"')],
      // checkpoints.json is written after the weights, so epoch 1 is safe.
      ["when the checkpoint of epoch 1 is listed", () => existsSync(join(broken, "checkpoints.json"))],
      // Header and two rows; the checkpoint of epoch 2 follows the row.
      ["when the row of epoch 2 is written", () => lines(join(broken, "results.csv")) >= 3],
      ["immediately after the start of epoch 3", isBegun(3)],
    ];
    const resumedFrom: unknown[] = [];
    for (const [moment, isDue] of moments) {
      const { signal, events, stderr } = await interrupt(broken, {
        resume: resumedFrom.length > 0,
        signal: "SIGKILL",
        isDue,
      });
      expect(signal, `${moment}: ${stderr}`).toBe("SIGKILL");
      expect(existsSync(join(broken, "weights", "student.safetensors")), moment).toBe(false);
      resumedFrom.push(events.find((event) => event["type"] === "run")?.["resumedFrom"]);
    }
    const end = await train(broken, { resume: true });
    expect(end.code, end.stderr).toBe(0);
    resumedFrom.push(end.events.find((event) => event["type"] === "run")?.["resumedFrom"]);

    const last = join(broken, "weights", "last.safetensors");
    expect(resumedFrom).toEqual([null, null, last, last, last]);
    // Two epochs were safe before the last kill: only the last was trained again.
    expect(end.events.filter((event) => event["type"] === "epoch").map((event) => event["epoch"])).toEqual([3]);
    expect(weights(broken).equals(weights(whole))).toBe(true);
    expect(results(broken)).toEqual(results(whole));
    expect(results(broken)).toHaveLength(1 + EPOCHS);
    const leftovers = readdirSync(broken, { recursive: true }).filter((name) => String(name).includes(".tmp"));
    expect(leftovers).toEqual([]);
  }, 900_000);

  test("stopped by Ctrl-C saves inside the epoch, says so, and resumes to the same bytes", async () => {
    const stopped = join(root, "stopped");
    const { code, events, stderr } = await interrupt(stopped, { signal: "SIGINT", isDue: isBegun(2) });
    expect(code, stderr).toBe(130);
    expect(stderr).toContain("Stopping after this step; once more stops at once.");
    expect(stderr).not.toContain("error:");
    expect(stderr).toMatch(
      new RegExp(
        `^stopped; what was done is saved\\. Go on with: seg train-student .*--output ${stopped} .*--resume$`,
        "m",
      ),
    );
    expect(events.at(-1)).toMatchObject({ type: "result", reason: "aborted" });
    const end = await train(stopped, { resume: true });
    expect(end.code, end.stderr).toBe(0);
    expect(weights(stopped).equals(weights(join(root, "whole")))).toBe(true);
    expect(results(stopped)).toEqual(results(join(root, "whole")));
  }, 900_000);

  test("with another seed ends with other bytes, so that equal bytes mean something", async () => {
    const other = join(root, "other");
    const { code, stderr } = await train(other, { seed: 6 });
    expect(code, stderr).toBe(0);
    expect(weights(other).equals(weights(join(root, "whole")))).toBe(false);
  }, 900_000);
});
