import { mkdtempSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../test/databases.js";
import { cocoDocument, pieces } from "../../test/datasets.js";
import { until } from "../../test/job-queue-conformance.js";
import { fakeTrainerModule, openRetrain } from "../../test/open-retrain.js";
import type { JobWorker } from "../jobs/job-worker.js";
import type { JobEvent } from "../jobs/types.js";
import { folderBlobs } from "../registry/object-blobs.js";
import type { SqlDriver } from "../sql/driver.js";
import { openDatabase } from "../sql/open-database.js";
import { RetrainService } from "./retrain-service.js";
import type { RetrainRequest } from "./types.js";

describe("RetrainService", () => {
  const directory = temporaryDirectory();
  let root: string;
  let sql: SqlDriver;
  let hub: Awaited<ReturnType<typeof openRetrain>>;
  let workers: JobWorker[];
  beforeEach(async () => {
    root = mkdtempSync(join(directory.path, "root-"));
    sql = await openDatabase(join(root, "registry.sqlite"));
    hub = await openRetrain({ sql, root });
    workers = [];
  });
  afterEach(async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
    await sql.close();
  });
  const work = (...args: Parameters<typeof hub.startWorker>) => {
    const worker = hub.startWorker(...args);
    workers.push(worker);
    return worker;
  };
  const events = async (id: string): Promise<JobEvent[]> => {
    const all: JobEvent[] = [];
    for await (const event of hub.jobs.watch(id)) all.push(event);
    return all;
  };
  const logs = async (id: string) =>
    (await events(id)).filter(({ type }) => type === "log").map(({ data }) => data["message"]);
  const checkpointed = (id: string) =>
    until(async () => Number((await hub.jobs.get(id)).checkpoint?.["epoch"] ?? 0) >= 2);
  const request: RetrainRequest = { epochs: 5, seed: 3 };

  describe("preview", () => {
    test("resolves what was left open and says where each number came from", async () => {
      const { config, estimate } = await hub.retrain.preview({ epochs: 7 });
      expect(config).toMatchObject({
        model: "default",
        trainer: "fake",
        use_database: true,
        datasets: ["bags"],
        records: 12,
        epochs: 7,
        batch_size: 4,
        learning_rate: 0.01,
        hidden_size: 8,
        seed: 0,
        base_version: null,
        sources: { epochs: "request", batch_size: "trainer" },
      });
      expect(estimate).toEqual({ steps: 21, seconds: null });
    });
    test("asks the advisor before the trainer", async () => {
      const advised = await openRetrain({
        sql,
        root,
        options: { suggest: async ({ records }) => ({ batch_size: records }) },
      });
      expect((await advised.retrain.preview({ epochs: 2 })).config).toMatchObject({
        batch_size: 12,
        sources: { epochs: "request", batch_size: "advisor", hidden_size: "trainer" },
      });
    });
    test.each<[RetrainRequest, string]>([
      [{ use_database: false }, "INVALID_REQUEST"],
      [{ use_database: false, dataset_name: "absent" }, "NOT_FOUND"],
      [{ epochs: 0 }, "INVALID_REQUEST"],
      [{ epochs: 10_001 }, "INVALID_REQUEST"],
      [{ epochs: 1.5 }, "INVALID_REQUEST"],
      [{ batch_size: 1025 }, "INVALID_REQUEST"],
      [{ learning_rate: 0 }, "INVALID_REQUEST"],
      [{ learning_rate: 1.01 }, "INVALID_REQUEST"],
      [{ hidden_size: 4097 }, "INVALID_REQUEST"],
      [{ trainer: "none" }, "INVALID_REQUEST"],
      [{ params: { unknown: 1 } }, "INVALID_REQUEST"],
      [{ base_version: "v20200101_000000" }, "NOT_FOUND"],
      [{ surprise: 1 } as never, "INVALID_REQUEST"],
    ])("refuses %o", async (bad, code) => {
      await expect(hub.retrain.start(bad)).rejects.toMatchObject({ code });
      expect((await hub.jobs.list()).total).toBe(0);
    });
    test("needs ten records", async () => {
      await hub.datasets.upload({ file_name: "few.json", stream: pieces(cocoDocument(9)) });
      await expect(hub.retrain.preview({ use_database: false, dataset_name: "few" })).rejects.toMatchObject({
        code: "DATASET_TOO_SMALL",
        details: { records: 9, min_records: 10 },
      });
      expect((await hub.retrain.preview({})).config.datasets).toEqual(["bags", "few"]);
      await hub.datasets.upload({
        file_name: "t.csv",
        stream: pieces("file_name,class,x,y,width,height\na.png,b,1,1,1,1\n"),
      });
      await expect(hub.retrain.preview({ dataset_name: "t" })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    });
    test("two trainers of one id, or a module without one, are refused at the start", async () => {
      const open = (trainers: { module: string; export?: string }[]) =>
        RetrainService.open({
          sql,
          registry: hub.registry,
          jobs: hub.jobs,
          datasets: hub.datasets,
          runsRoot: root,
          trainers,
        });
      await expect(open([fakeTrainerModule, fakeTrainerModule])).rejects.toMatchObject({ code: "INVALID_REQUEST" });
      await expect(open([{ module: fakeTrainerModule.module }])).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    });
  });

  test("a run registers one version with metrics, lineage and comparison, and a suggestion to activate", async () => {
    work();
    const first = (await hub.retrain.result(
      (
        await hub.retrain.start({ ...request, description: "first" }, { actor: "ana" })
      ).job_id,
    ))!;
    expect(first).toMatchObject({ success: true, comparison: null, suggest_activation: true });
    const version = await hub.registry.get(first.version);
    expect(version).toMatchObject({ state: "ready", description: "first", dataset: "bags", training_samples: 12 });
    expect(version.manifest).toMatchObject({
      created_by: "ana",
      run_id: first.job_id,
      metric_definition_id: "fake-1",
      params: { retrain: { epochs: 5 } },
    });
    expect(version.files.map(({ path }) => path)).toEqual(["model.safetensors", "preprocessor.json"]);
    expect(version.training_time).toBeGreaterThan(0);
    await hub.registry.activate(first.version);

    const second = (await hub.retrain.result(
      (
        await hub.retrain.start({ epochs: 9, base_version: first.version })
      ).job_id,
    ))!;
    expect(second.comparison).toMatchObject({ a: first.version, b: second.version, overall: "b", comparable: true });
    expect(second.suggest_activation).toBe(true);
    expect((await hub.registry.active())?.version).toBe(first.version);
    expect((await hub.registry.get(second.version)).manifest.parents.base).toBe(first.version);
    const worse = (await hub.retrain.result((await hub.retrain.start({ epochs: 1 })).job_id))!;
    expect(worse).toMatchObject({ suggest_activation: false, comparison: { overall: "a" } });
    expect((await hub.retrain.preview({})).estimate.seconds).toBeGreaterThan(0);
    expect(await readdir(join(root, "runs"))).toEqual([]);
  });

  test("the policy may activate by itself, with its decision in the history", async () => {
    hub = await openRetrain({ sql, root, options: { policy: { autoActivate: true, minDelta: 0.001 } } });
    work();
    const { version } = (await hub.retrain.result((await hub.retrain.start(request)).job_id))!;
    expect((await hub.registry.active())?.version).toBe(version);
    expect((await hub.registry.history()).history[0]!.policy_decision).toMatchObject({ suggest_activation: true });
  });

  test("progress grows to the end, and waiting can be cut short", async () => {
    work();
    const { job_id } = await hub.retrain.start({ ...request, params: { step_ms: 60, steps: 3 } });
    expect(await hub.retrain.result(job_id, { maxWaitMs: 1 })).toBeNull();
    await hub.retrain.result(job_id);
    const progress = (await events(job_id))
      .filter(({ type }) => type === "progress")
      .map(({ data }) => data as { percent: number; epoch: number });
    expect(progress.length).toBeGreaterThan(2);
    expect(progress.every(({ percent }, i) => percent >= (progress[i - 1]?.percent ?? 0))).toBe(true);
    expect(progress.at(-1)).toMatchObject({ phase: "saving", percent: 98 });
  });

  test("a failing trainer registers nothing and its code reaches the caller", async () => {
    work();
    const { job_id } = await hub.retrain.start({ ...request, params: { fail_at_epoch: 2 } });
    await expect(hub.retrain.result(job_id)).rejects.toMatchObject({
      code: "NO_ANNOTATIONS",
      details: { epoch: 2, state: "failed" },
    });
    expect((await hub.registry.list()).total).toBe(0);
    expect((await events(job_id)).at(-1)).toMatchObject({ type: "error" });
  });

  test("cancel, resume and a killed process end with the metrics and bytes of an uninterrupted run", async () => {
    work();
    const plain = (await hub.retrain.result((await hub.retrain.start({ ...request, params: { step_ms: 1 } })).job_id))!;
    const bytes = async (version: string) =>
      readFile(join(await hub.registry.directory(version), "model.safetensors"), "utf8");
    const same = async (version: string, metrics: typeof plain.metrics) => {
      const { training_time: _, ...rest } = metrics;
      const { training_time: __, ...expected } = plain.metrics;
      expect(rest).toEqual(expected);
      expect(await bytes(version)).toBe(await bytes(plain.version));
    };

    const cancelled = await hub.retrain.start({ ...request, params: { pause_at_epoch: 3 } });
    await checkpointed(cancelled.job_id);
    await hub.jobs.cancel(cancelled.job_id);
    await expect(hub.retrain.result(cancelled.job_id)).rejects.toMatchObject({
      code: "INVALID_STATE",
      details: { state: "cancelled" },
    });
    expect((await hub.registry.list()).total).toBe(1);
    await hub.jobs.resume(cancelled.job_id);
    const resumed = (await hub.retrain.result(cancelled.job_id))!;
    expect(await logs(cancelled.job_id)).toContain("resumed after epoch 2");
    await same(resumed.version, resumed.metrics);

    const crashed = await hub.retrain.start({ ...request, params: { crash_at_epoch: 3 } });
    await expect(hub.retrain.result(crashed.job_id)).rejects.toMatchObject({
      code: "INTERNAL",
      details: { signal: "SIGKILL" },
    });
    await hub.jobs.resume(crashed.job_id);
    const again = (await hub.retrain.result(crashed.job_id))!;
    expect(await logs(crashed.job_id)).toContain("resumed after epoch 2");
    await same(again.version, again.metrics);
    expect((await hub.registry.list()).total).toBe(3);
  });

  test("a trainer that does not stop is ended after the grace", async () => {
    hub = await openRetrain({
      sql,
      root,
      options: { training: { execArgv: ["--conditions=@seg/source", "--import", "tsx"], graceMs: 100, termMs: 100 } },
    });
    work();
    const { job_id } = await hub.retrain.start({ ...request, params: { step_ms: 200, steps: 1000, stubborn: true } });
    await until(async () => (await hub.jobs.get(job_id)).progress !== null);
    await hub.jobs.cancel(job_id);
    await expect(hub.retrain.result(job_id)).rejects.toMatchObject({ details: { state: "cancelled" } });
    expect((await hub.registry.list()).total).toBe(0);
  });

  test("a worker that stops hands the run over, which goes on from the checkpoint", async () => {
    const first = work();
    const { job_id } = await hub.retrain.start({ ...request, params: { pause_at_epoch: 3 } });
    await checkpointed(job_id);
    await first.stop();
    expect((await hub.jobs.get(job_id)).state).toBe("queued");
    work();
    const { version } = (await hub.retrain.result(job_id))!;
    expect(await logs(job_id)).toContain("resumed after epoch 2");
    expect((await hub.registry.get(version)).manifest.run_id).toBe(job_id);
    expect((await hub.registry.list()).total).toBe(1);
  });

  test("another machine takes a run over when checkpoints are shared", async () => {
    const checkpointStore = folderBlobs(root);
    const machine = (name: string) =>
      openRetrain({ sql, root, options: { checkpointStore, runsRoot: join(root, name) } });
    hub = await machine("first");
    const first = work();
    const { job_id } = await hub.retrain.start({ ...request, params: { pause_at_epoch: 3 } });
    await checkpointed(job_id);
    await first.stop();
    hub = await machine("second");
    work();
    const { version } = (await hub.retrain.result(job_id))!;
    expect(await logs(job_id)).toContain("resumed after epoch 2");
    expect((await hub.registry.list()).versions.map((listed) => listed.version)).toEqual([version]);
    const left: string[] = [];
    for await (const { key } of checkpointStore.list("runs/")) left.push(key);
    expect(left).toEqual([]);
  });

  test("a run that was registered before its worker died is not trained again", async () => {
    const { job_id } = await hub.retrain.start(request);
    await hub.registry.register({ run_id: job_id, metrics: { map50_95: 0.5, training_time: 9 } });
    work();
    expect(await hub.retrain.result(job_id)).toMatchObject({ training_time: 9 });
    expect((await hub.registry.list()).total).toBe(1);
  });

  test("data that was replaced between start and run is noticed", async () => {
    const { job_id } = await hub.retrain.start(request);
    await hub.datasets.delete("bags");
    await hub.datasets.upload({ file_name: "bags.json", stream: pieces(cocoDocument(20)) });
    work();
    await expect(hub.retrain.result(job_id)).rejects.toMatchObject({ code: "CONFLICT" });
  });
});
