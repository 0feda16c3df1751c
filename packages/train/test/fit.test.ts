import { spawn } from "node:child_process";
import * as nodeFs from "node:fs";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stateDict } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type FitConfig,
  type FitOptions,
  type FitResult,
  fit,
  type TrainEvent,
  type WriteFileSystem,
} from "../src/index.js";
import { fingerprint, type MicroOptions, microRun } from "./micro-task.js";

const root = mkdtempSync(join(tmpdir(), "seg-train-fit-"));
afterAll(() => rmSync(root, { recursive: true }));
beforeAll(async () => {
  await tf.setBackend("cpu");
});
let runs = 0;
const freshDirectory = () => join(root, `run${runs++}`);

async function collect(options: MicroOptions, fitOptions: FitOptions = {}, changes: Partial<FitConfig> = {}) {
  const { task, cfg } = microRun(options);
  const events: TrainEvent[] = [];
  for await (const event of fit(task, { ...cfg, ...changes }, fitOptions)) events.push(event);
  const last = events.at(-1)!;
  if (last.type !== "end") throw new Error(`The last event is ${last.type}.`);
  return { events, result: last.result as FitResult, model: task.model, training: cfg.training };
}

const ofType = <T extends TrainEvent["type"]>(events: readonly TrainEvent[], type: T) =>
  events.filter((event): event is Extract<TrainEvent, { type: T }> => event.type === type);
const rows = (directory: string) => readFileSync(join(directory, "results.csv"), "utf8").trim().split("\n");

describe("fit", () => {
  test("reports a run from start to end and writes its files", async () => {
    const directory = freshDirectory();
    let clock = 0;
    // One second per look at the clock: every batch gets its step event.
    const { events, result } = await collect({ directory }, { now: () => (clock += 1000) });
    expect(events.map((event) => event.type)).toEqual([
      "run",
      ...Array.from({ length: 4 }, () => [
        ...Array.from({ length: 5 }, () => "step"),
        "epoch",
        "eval",
        "checkpoint",
      ]).flat(),
      "end",
    ]);
    expect(result).toMatchObject({ reason: "completed", epoch: 4, step: 20, best: { metric: "mAP50" } });
    const step = ofType(events, "step")[6]!;
    expect(step).toMatchObject({ epoch: 2, step: 7, totalEpochs: 4 });
    expect(step.losses["box"]).toBe(step.loss);
    expect(step.etaSeconds).toBeGreaterThan(0);
    expect(step.imgPerSec).toBeGreaterThan(0);
    const losses = ofType(events, "epoch").map((event) => event.losses["box"]!);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    expect(readdirSync(directory).sort()).toEqual([
      "args.yaml",
      "checkpoints.json",
      "metrics.jsonl",
      "results.csv",
      "weights",
    ]);
    expect(rows(directory)).toHaveLength(5);
    expect(rows(directory)[0]).toBe(
      "epoch,time,train/box_loss,metrics/precision(B),metrics/recall(B),metrics/mAP50(B),metrics/mAP50-95(B)," +
        "val/box_loss,lr/pg0,lr/pg1,lr/pg2,grad_norm",
    );
  });

  test("gives at most ten step events per second", async () => {
    let clock = 0;
    const { events } = await collect({ directory: freshDirectory(), epochs: 1 }, { now: () => (clock += 30) });
    expect(ofType(events, "step").length).toBeLessThan(5);
  });

  test("is deterministic and leaves the tensor count as it was", async () => {
    const [a, b] = [freshDirectory(), freshDirectory()];
    await collect({ directory: a });
    const before = tf.memory().numTensors;
    const { model } = await collect({ directory: b });
    model.dispose();
    expect(tf.memory().numTensors).toBe(before);
    expect(fingerprint(b)).toBe(fingerprint(a));
  });

  test("evaluates sparsely, and always at the end", async () => {
    const { events } = await collect({ directory: freshDirectory(), epochs: 5, interval: 2 });
    expect(ofType(events, "eval").map((event) => event.step)).toEqual([10, 20, 25]);
    expect(ofType(events, "warning")).toHaveLength(0);
  });

  test("warns about a patience that is short against the evaluation interval", async () => {
    const checkpoint = { early_stopping: { patience: 5 } };
    const { events } = await collect({ directory: freshDirectory(), epochs: 2, interval: 2, checkpoint });
    expect(ofType(events, "warning")[0]?.message).toMatch(/patience 5/);
  });

  test("stops early and leaves the best weights in memory and result", async () => {
    const directory = freshDirectory();
    const checkpoint = { early_stopping: { patience: 2 } };
    const metric = (epoch: number) => (epoch === 2 ? 0.9 : 0.1);
    const { events, result, model } = await collect({ directory, epochs: 9, checkpoint, metric });
    expect(result).toMatchObject({ reason: "early-stop", epoch: 4, best: { epoch: 2, value: 0.9 } });
    expect(ofType(events, "early-stop")).toHaveLength(1);
    expect(stateDict(model)).toEqual(result.state);
    const twoEpochs = await collect({ directory: freshDirectory(), epochs: 9, checkpoint, metric }, abortAfter(10));
    expect(twoEpochs.result.step).toBe(10);
    expect(result.state.get("w0")).toEqual(twoEpochs.result.state.get("w0"));
  });

  test("a callback that throws is a warning", async () => {
    const seen: string[] = [];
    const callbacks = {
      on_train_start: () => void seen.push("start"),
      on_model_save: () => {
        throw new Error("disk light broken");
      },
      on_train_end: () => void seen.push("end"),
    };
    const { events } = await collect({ directory: freshDirectory(), epochs: 1 }, { callbacks });
    expect(seen).toEqual(["start", "end"]);
    expect(ofType(events, "warning").map((event) => event.message)).toEqual(["on_model_save: disk light broken"]);
  });

  test("refuses unknown keys, and a directory that holds a run", async () => {
    const directory = freshDirectory();
    await expect(collect({ directory }, {}, { epoch: 3 } as never)).rejects.toMatchObject({
      code: "train/config",
      key: "epoch",
      nearest: "epochs",
    });
    await collect({ directory, epochs: 1 });
    await expect(collect({ directory, epochs: 2 })).rejects.toMatchObject({ code: "train/config", key: "directory" });
  });
});

/** Aborts when `step` batches have been seen; the clock makes every batch an event. */
function abortAfter(step: number): FitOptions & { check: (event: TrainEvent) => void } {
  const controller = new AbortController();
  let calls = 0;
  return {
    signal: controller.signal,
    now: () => {
      calls += 1000;
      return calls;
    },
    callbacks: {
      on_fit_epoch_end: ({ step: seen }) => {
        if (seen >= step) controller.abort();
      },
    },
    check: (event) => {
      if (event.type === "step" && event.step >= step) controller.abort();
    },
  };
}

async function runUntil(options: MicroOptions, step: number): Promise<FitResult> {
  const { task, cfg } = microRun(options);
  const { check, ...fitOptions } = abortAfter(step);
  let result: FitResult | null = null;
  for await (const event of fit(task, cfg, fitOptions)) {
    check(event);
    if (event.type === "end") result = event.result;
  }
  return result!;
}

describe("fit, aborted and resumed", () => {
  test.each([
    [1, 1],
    [7, 1],
    [10, 1],
    [7, 2],
    [8, 3],
  ])("at batch %d with accumulation %d, ends with the bytes of an unbroken run", async (step, accumulate) => {
    const [whole, broken] = [freshDirectory(), freshDirectory()];
    await collect({ directory: whole, accumulate });
    const aborted = await runUntil({ directory: broken, accumulate }, step);
    expect(aborted.reason).toBe("aborted");
    expect(aborted.step).toBeGreaterThanOrEqual(step);
    expect(aborted.step).toBeLessThan(step + accumulate);
    const { events, result } = await collect({ directory: broken, accumulate, resume: true });
    expect(ofType(events, "run")[0]!.resumedFrom).toContain("last.safetensors");
    expect(result.reason).toBe("completed");
    expect(fingerprint(broken)).toBe(fingerprint(whole));
  });

  test("goes on with more epochs, and does nothing when all are done", async () => {
    const directory = freshDirectory();
    await collect({ directory, epochs: 2 });
    const again = await collect({ directory, epochs: 2, resume: true });
    expect(ofType(again.events, "epoch")).toHaveLength(0);
    const more = await collect({ directory, epochs: 3, resume: true });
    expect(more.result).toMatchObject({ epoch: 3, step: 15 });
    expect(rows(directory)).toHaveLength(4);
  });

  test("begins when there is nothing to resume", async () => {
    const { events } = await collect({ directory: freshDirectory(), epochs: 1, resume: true });
    expect(ofType(events, "run")[0]!.resumedFrom).toBeNull();
  });

  test("refuses a changed optimisation and says what changed", async () => {
    const directory = freshDirectory();
    await collect({ directory, epochs: 1 });
    await expect(collect({ directory, epochs: 2, resume: true, accumulate: 2 })).rejects.toMatchObject({
      code: "train/resume-mismatch",
      differences: [{ key: "training.accumulate", saved: 1, current: 2 }],
    });
  });

  test("a damaged last file costs epochs but not exactness", async () => {
    const [whole, broken] = [freshDirectory(), freshDirectory()];
    await collect({ directory: whole });
    await runUntil({ directory: broken }, 15);
    const last = join(broken, "weights/last.safetensors");
    writeFileSync(last, readFileSync(last).subarray(0, 700));
    const { events } = await collect({ directory: broken, resume: true });
    expect(ofType(events, "warning")[0]?.message).toMatch(/damaged/);
    expect(fingerprint(broken)).toBe(fingerprint(whole));
  });
});

describe("fit and losses that are not finite", () => {
  test("stops and leaves a report", async () => {
    const directory = freshDirectory();
    await expect(collect({ directory, nanAt: 7 })).rejects.toMatchObject({ code: "train/non-finite-loss", step: 7 });
    const report = JSON.parse(readFileSync(join(directory, "nan_capture/step_00000007.json"), "utf8"));
    expect(report).toMatchObject({ epoch: 2, step: 7, batch_ids: ["2/2"], rng: { seed: 7 } });
  });

  test("goes back to the newest checkpoint when told so", async () => {
    const [whole, broken] = [freshDirectory(), freshDirectory()];
    await collect({ directory: whole });
    const { events, result } = await collect({ directory: broken, nanAt: 7 }, {}, { on_nan: "rollback" });
    expect(ofType(events, "warning")[0]?.message).toMatch(/rollback 1 of 3/);
    expect(result.reason).toBe("completed");
    expect(fingerprint(broken)).toBe(fingerprint(whole));
  });

  test("gives up after three times, and at once in epoch 1", async () => {
    const again = { directory: freshDirectory(), nanAt: 7, nanTimes: 99 };
    await expect(collect(again, {}, { on_nan: "rollback" })).rejects.toMatchObject({ code: "train/non-finite-loss" });
    const first = { directory: freshDirectory(), nanAt: 2 };
    await expect(collect(first, {}, { on_nan: "rollback" })).rejects.toMatchObject({ step: 2 });
  });
});

/** Stops the disk dead after `after` operations, as a power cut would: the last write is half done, nothing is cleaned up. */
function powerCut(after: number): { fs: WriteFileSystem; isCut: () => boolean } {
  let left = after;
  const fs = new Proxy(nodeFs, {
    get(target, name) {
      const operation = Reflect.get(target, name) as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        if (--left > 0) return operation(...args);
        if (left === 0 && name === "writeSync") {
          operation(args[0], args[1], args[2], Math.floor(Number(args[3]) / 2));
        }
        throw new Error("power cut");
      };
    },
  }) as unknown as WriteFileSystem;
  return { fs, isCut: () => left <= 0 };
}

describe("fit, cut off at any file operation", () => {
  test("every single cut resumes to the bytes of an unbroken run", async () => {
    const checkpoint = { save_interval_steps: 3 };
    const epochs = 2;
    const whole = freshDirectory();
    await collect({ directory: whole, epochs, checkpoint });
    const expected = fingerprint(whole);
    const files = (directory: string) => readdirSync(join(directory, "weights")).sort();
    let cuts = 0;
    for (let after = 1; ; after++) {
      const directory = freshDirectory();
      const { fs, isCut } = powerCut(after);
      await collect({ directory, epochs, checkpoint, fs }).catch(() => {});
      if (!isCut()) break;
      cuts += 1;
      await collect({ directory, epochs, checkpoint, resume: true });
      expect(fingerprint(directory), `cut at operation ${after}`).toBe(expected);
      expect(files(directory), `cut at operation ${after}`).toEqual(files(whole));
    }
    expect(cuts).toBeGreaterThan(100);
    // Hundreds of runs: on a machine with other work they take minutes.
  }, 300_000);
});

describe("fit in a child process killed by SIGKILL", () => {
  const script = join(import.meta.dirname, "micro-run.ts");

  function child(
    directory: string,
    { resume, killAfter = 0, killAtEpoch = 0 }: { resume: boolean; killAfter?: number; killAtEpoch?: number },
  ) {
    return new Promise<{ signal: NodeJS.Signals | null; errors: string }>((resolve) => {
      const args = [
        "--conditions=@seg/source",
        "--import",
        "tsx",
        script,
        directory,
        resume ? "1" : "0",
        String(killAfter),
      ];
      const process_ = spawn(process.execPath, args, {
        cwd: join(import.meta.dirname, ".."),
        stdio: ["ignore", "pipe", "pipe"],
      });
      let errors = "";
      process_.stderr.on("data", (data) => {
        errors += String(data);
      });
      process_.stdout.on("data", (data) => {
        if (killAtEpoch > 0 && String(data).includes(`epoch ${killAtEpoch}`)) process_.kill("SIGKILL");
      });
      process_.on("close", (_, signal) => resolve({ signal, errors }));
    });
  }

  test("ends, after several kills, with the bytes of an unbroken run", async () => {
    const [whole, broken] = [freshDirectory(), freshDirectory()];
    // The reference and the last stretch run here: what is killed is what needs a process.
    const checkpoint = { save_interval_steps: 3 };
    await collect({ directory: whole, checkpoint });
    const kills = [{ killAfter: 23 }, { killAtEpoch: 2 }, { killAfter: 41 }];
    for (const kill of kills) {
      const { signal, errors } = await child(broken, { resume: true, ...kill });
      expect(signal, errors).toBe("SIGKILL");
    }
    await collect({ directory: broken, checkpoint, resume: true });
    expect(fingerprint(broken)).toBe(fingerprint(whole));
    expect(existsSync(join(broken, "weights/last.safetensors.corrupt"))).toBe(false);
    expect(readdirSync(join(broken, "weights")).filter((name) => name.includes(".tmp-"))).toEqual([]);
  }, 300_000);
});
