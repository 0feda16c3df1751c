import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Output } from "../output.js";
import { readRunRecord } from "./run-record.js";
import { inspectSteps, type RunStep, runSteps } from "./run-steps.js";

let experiment: string;
let said: string[];
/** Names of the steps that ran, with `+` where they resumed. */
let ran: string[];
const output: Output = {
  json: false,
  line: (text) => void said.push(...text.split("\n")),
  progress: () => {},
  event: () => {},
  settle: () => {},
  result: () => {},
};
const at = (name: string) => join(experiment, name);
const read = (name: string) => readFileSync(at(name), "utf8");

beforeEach(async () => {
  experiment = await mkdtemp(join(tmpdir(), "seg-steps-"));
  said = [];
  ran = [];
});
afterEach(() => rm(experiment, { recursive: true, force: true }));

/** A step that writes `NAME/out` with what it was made from. */
function step(
  name: string,
  inputs: Record<string, unknown>,
  { during = () => {} }: { during?: () => void } = {},
): RunStep {
  return {
    name,
    prepare: async () => ({
      decision: `make ${name}`,
      inputs,
      owns: [name],
      async run({ resume }) {
        ran.push(resume ? `${name}+` : name);
        during();
        mkdirSync(dirname(at(`${name}/out`)), { recursive: true });
        writeFileSync(at(`${name}/out`), JSON.stringify(inputs));
      },
      outputs: () => [`${name}/out`],
    }),
  };
}
const go = (
  steps: readonly RunStep[],
  { signal = new AbortController().signal, ...range }: { signal?: AbortSignal; from?: string; until?: string } = {},
) => runSteps({ experiment, steps, output, signal, now: () => 0, ...range });

describe("runSteps", () => {
  test("does every step in order, and keeps all of them the second time", async () => {
    const steps = [step("a", { x: 1 }), step("b", { y: 2 })];
    expect(await go(steps)).toEqual([
      { name: "a", state: "done", seconds: 0 },
      { name: "b", state: "done", seconds: 0 },
    ]);
    expect((await go(steps)).map(({ state }) => state)).toEqual(["kept", "kept"]);
    expect(ran).toEqual(["a", "b"]);
  });

  test("does a step again whose inputs changed, says which, and keeps what was there beside it", async () => {
    await go([step("a", { epochs: 3, lr: 0.1 })]);
    await go([step("a", { epochs: 4, lr: 0.1 })]);
    expect(said).toContain("again       made from other inputs: epochs 3 -> 4; the former one is kept: a.1");
    expect(read("a.1/out")).toBe('{"epochs":3,"lr":0.1}');
    expect(read("a/out")).toBe('{"epochs":4,"lr":0.1}');
    await go([step("a", { epochs: 5, lr: 0.1 })]);
    expect(readdirSync(experiment).sort()).toEqual(["a", "a.1", "a.2", "run.json"]);
  });

  test("names inputs that came and went", async () => {
    await go([step("a", { old: 1 })]);
    await go([step("a", { edited: { student: "yolov8n" } })]);
    expect(said).toContain(
      'again       made from other inputs: old 1 -> none, edited none -> {"student":"yolov8n"}; the former one is kept: a.1',
    );
  });

  test("does a step again whose file is missing or was changed", async () => {
    await go([step("a", { x: 1 })]);
    writeFileSync(at("a/out"), '{"x":2}');
    await go([step("a", { x: 1 })]);
    expect(said).toContain("again       a/out is missing or was changed; the former one is kept: a.1");
    await rm(at("a/out"));
    await go([step("a", { x: 1 })]);
    expect(ran).toEqual(["a", "a", "a"]);
  });

  test("resumes a step that was interrupted with the same inputs, and begins anew with others", async () => {
    const fail = () => {
      throw new Error("killed");
    };
    await expect(go([step("a", { x: 1 }, { during: fail })])).rejects.toThrow("killed");
    expect(readRunRecord(experiment).steps["a"]).toMatchObject({ state: "started", outputs: {} });
    await go([step("a", { x: 1 })]);
    await expect(go([step("a", { x: 2 }, { during: fail })])).rejects.toThrow("killed");
    await go([step("a", { x: 3 })]);
    expect(ran).toEqual(["a", "a+", "a", "a"]);
  });

  test("a step that was told to stop is not taken for done", async () => {
    const controller = new AbortController();
    const stopping = step("a", { x: 1 }, { during: () => controller.abort() });
    await expect(go([stopping, step("b", {})], { signal: controller.signal })).rejects.toThrow(/abort/i);
    await go([step("a", { x: 1 }), step("b", {})]);
    expect(ran).toEqual(["a", "a+", "b"]);
  });

  test("--from does a step and the ones after it again, --until ends", async () => {
    const steps = ["a", "b", "c"].map((name) => step(name, {}));
    await go(steps, { until: "b" });
    expect(ran).toEqual(["a", "b"]);
    await go(steps, { from: "b" });
    expect(ran).toEqual(["a", "b", "b", "c"]);
    expect(existsSync(at("b.1"))).toBe(true);
  });

  test("a damaged record is named", async () => {
    writeFileSync(at("run.json"), "{");
    await expect(go([step("a", {})])).rejects.toMatchObject({ code: "cli/run-record-damaged" });
  });
});

describe("inspectSteps", () => {
  test("says what would be kept, and why the next step would run, without running it", async () => {
    expect(await inspectSteps({ experiment, steps: [step("a", {})] })).toEqual({
      kept: [],
      next: "a",
      reason: "not done yet",
    });
    await go([step("a", {}), step("b", { x: 1 })]);
    const steps = [step("a", {}), step("b", { x: 2 }), step("c", {})];
    expect(await inspectSteps({ experiment, steps })).toEqual({
      kept: ["a"],
      next: "b",
      reason: "made from other inputs: x 1 -> 2",
    });
    expect(await inspectSteps({ experiment, steps: [step("a", {})], from: "a" })).toMatchObject({ reason: "--from a" });
    expect(await inspectSteps({ experiment, steps: [step("a", {})] })).toEqual({
      kept: ["a"],
      next: null,
      reason: null,
    });
    expect(ran).toEqual(["a", "b"]);
  });
});
