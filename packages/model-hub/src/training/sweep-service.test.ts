import { mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { temporaryDirectory } from "../../test/databases.js";
import { until } from "../../test/job-queue-conformance.js";
import { fakeTrainerModule, openRetrain } from "../../test/open-retrain.js";
import { JobWorker } from "../jobs/job-worker.js";
import type { SqlDriver } from "../sql/driver.js";
import { openDatabase } from "../sql/open-database.js";
import { type DrawSweep, type EndedSweep, SweepService } from "./sweep-service.js";

// Every trial is a process of its own, on a machine that runs many test files at once.
vi.setConfig({ testTimeout: 300_000 });

describe("SweepService", () => {
  const directory = temporaryDirectory();
  let sql: SqlDriver;
  let hub: Awaited<ReturnType<typeof openRetrain>>;
  let sweeps: SweepService;
  let workers: JobWorker[];
  let drawn: EndedSweep[];
  beforeEach(async () => {
    const root = mkdtempSync(join(directory.path, "root-"));
    sql = await openDatabase(join(root, "registry.sqlite"));
    const level = { module: new URL("../../test/level-trainer.ts", import.meta.url).href };
    hub = await openRetrain({ sql, root, options: { trainers: [fakeTrainerModule, level] } });
    drawn = [];
    const draw: DrawSweep = async (sweep) => {
      drawn.push(sweep);
      return "<svg/>";
    };
    sweeps = new SweepService({ retrain: hub.retrain, jobs: hub.jobs, root: join(root, "sweeps"), draw });
    workers = [];
  });
  afterEach(async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
    await sql.close();
  });
  const train = () => {
    const worker = hub.startWorker();
    workers.push(worker);
    return worker;
  };
  const sweep = () => {
    const worker = new JobWorker({
      queue: hub.jobs,
      handlers: { sweep: sweeps.handler },
      pollMs: 20,
      cancelCheckMs: 20,
      heartbeatMs: 200,
    });
    worker.start();
    workers.push(worker);
    return worker;
  };
  const ended = async (id: string) => {
    for await (const _ of hub.jobs.watch(id));
    return hub.jobs.get(id);
  };

  test("trains every trial as a job of its own and ranks the versions", async () => {
    const { job_id, trials } = await sweeps.start(
      { epochs: 1 },
      {
        variation: {
          kind: "mixed",
          of: [
            { kind: "seed", count: 2 },
            { kind: "grid", values: { batch_size: [2, 4] } },
          ],
        },
      },
      { actor: "ana" },
    );
    expect(trials).toBe(4);
    train();
    sweep();
    const { state, result, progress } = await ended(job_id);
    expect({ state, percent: progress?.percent }).toEqual({ state: "succeeded", percent: 100 });
    const ranking = result!["ranking"] as {
      metric: number;
      version: string;
      params: { batch_size: number; seed: number };
    }[];
    expect(ranking).toHaveLength(4);
    expect(ranking.map(({ metric }) => metric)).toEqual(ranking.map(({ metric }) => metric).sort((a, b) => b - a));
    expect(result!["best"]).toEqual(ranking[0]);
    for (const { version, metric, params } of ranking) {
      const { metrics, manifest } = await hub.registry.get(version);
      expect(metrics.map50_95).toBe(metric);
      expect(manifest.params).toMatchObject({ retrain: { batch_size: params.batch_size, seed: params.seed } });
    }
    const jobs = (await hub.jobs.list({ kind: "retrain" })).jobs;
    expect(jobs.map(({ created_by }) => created_by)).toEqual(["ana", "ana", "ana", "ana"]);
  });

  test("goes on after its worker stopped, with the trial that was running", async () => {
    const { job_id } = await sweeps.start(
      { epochs: 1, params: { step_ms: 30 } },
      { variation: { kind: "seed", count: 2 } },
    );
    train();
    const first = sweep();
    await until(async () => (await hub.jobs.list({ kind: "retrain" })).total === 1);
    await first.stop();
    sweep();
    const { state, result } = await ended(job_id);
    expect({ state, ranking: (result!["ranking"] as unknown[]).length }).toEqual({ state: "succeeded", ranking: 2 });
    expect((await hub.jobs.list({ kind: "retrain" })).total).toBe(2);
  });

  test("a trial that fails stops no other", async () => {
    const { job_id } = await sweeps.start(
      { epochs: 1 },
      { variation: { kind: "grid", values: { fail_at_epoch: [1, null] } }, metric: "loss" },
    );
    train();
    sweep();
    const { result } = await ended(job_id);
    expect(result!["ranking"]).toMatchObject([
      { state: "succeeded", params: { fail_at_epoch: null }, metric: expect.any(Number) },
      { state: "failed", metric: null, version: null, error: expect.stringContaining("made to fail") },
    ]);
  });

  test("a hopeless trial is cancelled early, and ranked by what it had reached", async () => {
    const { job_id } = await sweeps.start(
      { trainer: "level" },
      {
        // The second would never end by itself.
        variation: { kind: "grid", values: { level: [1, 2] } },
        metric: "loss",
        prune: { min_epochs: 1, min_trials: 1 },
      },
    );
    train();
    sweep();
    const { state, result } = await ended(job_id);
    expect(state).toBe("succeeded");
    expect(result!["ranking"]).toMatchObject([
      { trial: 0, state: "succeeded", metric: 1, version: expect.any(String) },
      { trial: 1, state: "pruned", metric: 2, version: null },
    ]);
    const jobs = (await hub.jobs.list({ kind: "retrain" })).jobs;
    expect(jobs.map(({ state: end }) => end)).toEqual(["cancelled", "succeeded"]);
    // Losses are drawn as measured, and what was ended early is told.
    expect(drawn.map(({ ranking }) => ranking.map(({ state: end, metric }) => [end, metric]))).toEqual([
      [
        ["succeeded", 1],
        ["pruned", 2],
      ],
    ]);
    expect(readFileSync(join(drawn[0]!.directory, "results.csv"), "utf8")).toMatch(
      /^rank,trial,state.*\n1,0,succeeded/,
    );
    expect(result!["plot"]).toBe("<svg/>");
  });

  test("cancelling a sweep cancels the trial that runs", async () => {
    const { job_id } = await sweeps.start(
      { epochs: 1, params: { pause_at_epoch: 1 } },
      { variation: { kind: "seed", count: 3 } },
    );
    train();
    sweep();
    await until(async () => (await hub.jobs.list({ kind: "retrain", state: "running" })).total === 1);
    await hub.jobs.cancel(job_id);
    expect((await ended(job_id)).state).toBe("cancelled");
    const [trial] = (await hub.jobs.list({ kind: "retrain" })).jobs;
    expect((await ended(trial!.id)).state).toBe("cancelled");
    expect((await hub.jobs.list({ kind: "retrain" })).total).toBe(1);
  });

  test("refuses before anything is queued: too many trials, a value that no training takes, an unknown metric", async () => {
    const start = (variation: object, more: object = {}) => sweeps.start({}, { variation, ...more } as never);
    await expect(start({ kind: "seed", count: 40 })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    await expect(start({ kind: "grid", values: { batch_size: [4, 5000] } })).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
    await expect(start({ kind: "seed", count: 2 }, { metric: "beauty" })).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
    expect((await hub.jobs.list()).total).toBe(0);
  });
});
