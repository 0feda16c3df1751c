import { setTimeout as sleep } from "node:timers/promises";
import type { DatasetStorePort } from "../src/datasets/types.js";
import { HubError } from "../src/errors.js";
import { JobWorker } from "../src/jobs/job-worker.js";
import { type JobQueue, TERMINAL_STATES } from "../src/jobs/types.js";
import type { Json, ModelRegistryPort } from "../src/registry/types.js";
import type { RetrainPreview, RetrainRequest, RetrainResult, RetrainServicePort } from "../src/training/types.js";

export function fakeRetrain({
  registry,
  jobs,
  datasets,
}: {
  registry: ModelRegistryPort;
  jobs: JobQueue;
  datasets: DatasetStorePort;
}): RetrainServicePort & { worker: JobWorker; epochMs: number } {
  const preview = async (request: RetrainRequest): Promise<RetrainPreview> => {
    const { datasets: stored, total_records } = await datasets.list();
    if (request.use_database === false && request.dataset_name === undefined)
      throw new HubError({ code: "INVALID_REQUEST", message: "dataset_name is required when use_database is false." });
    return {
      config: {
        model: request.model ?? "default",
        trainer: "fake",
        use_database: request.use_database ?? true,
        datasets: stored.map((d) => d.name),
        records: total_records,
        dataset_fingerprint: "f".repeat(64),
        epochs: request.epochs ?? 20,
        batch_size: request.batch_size ?? 16,
        learning_rate: request.learning_rate ?? 0.001,
        hidden_size: request.hidden_size ?? 64,
        params: request.params ?? {},
        seed: request.seed ?? 42,
        base_version: request.base_version ?? null,
        description: request.description ?? "",
        sources: Object.fromEntries(
          ["epochs", "batch_size", "learning_rate", "hidden_size", "seed"].map((k) => [
            k,
            k in request ? "request" : "trainer",
          ]),
        ) as never,
      },
      estimate: { steps: 20 * 4, seconds: null },
      warnings: [],
    };
  };
  const service = {
    epochMs: 5,
    policy: {},
    trainers: () => [
      {
        id: "yolov8n-seg",
        description: "prompt-free student: boxes and masks",
        datasetSchema: "coco",
        defaults: { epochs: 40, batch_size: 16, learning_rate: 0.001, hidden_size: 64 },
        paramsSchema: null as never,
        train: null as never,
      },
    ],
    preview,
    async start(request: RetrainRequest, { actor = null }: { actor?: string | null } = {}) {
      const { config } = await preview(request);
      const job = await jobs.enqueue({
        kind: "retrain",
        payload: config as unknown as { [k: string]: Json },
        created_by: actor,
      });
      return { job_id: job.id };
    },
    async result(id: string, { maxWaitMs = 1e9, signal }: { maxWaitMs?: number; signal?: AbortSignal } = {}) {
      const end = Date.now() + maxWaitMs;
      for (;;) {
        const job = await jobs.get(id);
        if (job.state === "succeeded") return job.result as unknown as RetrainResult;
        if (TERMINAL_STATES.has(job.state))
          throw new HubError({
            code: (job.error?.code ?? "INVALID_STATE") as "INVALID_STATE",
            message: job.error?.message ?? job.state,
          });
        if (Date.now() >= end || signal?.aborted) return null;
        await sleep(5);
      }
    },
  } as unknown as RetrainServicePort & { worker: JobWorker; epochMs: number };
  service.worker = new JobWorker({
    queue: jobs,
    pollMs: 10,
    cancelCheckMs: 30,
    handlers: {
      retrain: async ({ job, signal, progress, log }) => {
        const epochs = Number(job.payload["epochs"]);
        for (let e = 1; e <= epochs; e++) {
          await sleep(service.epochMs);
          signal.throwIfAborted();
          progress({
            phase: "training",
            epoch: e,
            epochs,
            step: e * 4,
            steps: epochs * 4,
            percent: (100 * e) / epochs,
            metrics: { loss: 1 / e, accuracy: 1 - 0.6 / e },
            eta_s: ((epochs - e) * service.epochMs) / 1000,
          });
          await log({ message: `epoch ${e}: loss ${(1 / e).toFixed(4)}` });
        }
        const active = await registry.active();
        const v = await registry.register({
          run_id: job.run_id,
          files: [{ path: "model.onnx", content: Buffer.from(job.id) }],
          metrics: {
            accuracy: 0.931,
            precision: 0.94,
            recall: 0.928,
            f1_score: 0.934,
            loss: 0.0512,
            map50: 0.951,
            map50_95: 0.742,
            mask_iou: 0.81,
            training_samples: 480,
            training_time: 93.4,
          },
          dataset: { id: "bags-2026" },
          created_by: job.created_by,
          description: String(job.payload["description"] ?? ""),
        });
        const comparison = active === null ? null : await registry.compare(active.version, v.version);
        const { suggest_activation } = await registry.suggest(v.version);
        return {
          success: true,
          message: "done",
          job_id: job.id,
          version: v.version,
          metrics: v.metrics,
          training_time: 93.4,
          comparison,
          suggest_activation,
        } as never;
      },
    },
  });
  return service;
}
