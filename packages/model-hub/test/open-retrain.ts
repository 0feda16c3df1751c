import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DatasetStore } from "../src/datasets/dataset-store.js";
import { JobWorker } from "../src/jobs/job-worker.js";
import { SqlJobQueue } from "../src/jobs/sql-job-queue.js";
import type { SqlDriver } from "../src/sql/driver.js";
import { RetrainService, type RetrainServiceOptions } from "../src/training/retrain-service.js";
import { cocoDocument, pieces } from "./datasets.js";
import { openRegistry } from "./open-registry.js";

/** How a child process runs the sources, whatever runs the tests. */
export const CHILD_EXEC_ARGV = ["--conditions=@seg/source", "--import", "tsx"];
export const fakeTrainerModule = {
  module: new URL("../src/training/fake-trainer.ts", import.meta.url).href,
  export: "fakeTrainer",
};
export const programPath = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Registry, queue, datasets and retraining over one database and folder, with one dataset of twelve images. */
export async function openRetrain({
  sql,
  root,
  options = {},
}: {
  sql: SqlDriver;
  root: string;
  options?: Partial<RetrainServiceOptions>;
}) {
  const { registry, events } = openRegistry({ sql, root });
  const jobs = new SqlJobQueue({ sql, events, pollMs: 20 });
  const datasets = new DatasetStore({ sql, root: join(root, "datasets") });
  await datasets.upload({ file_name: "bags.json", stream: pieces(cocoDocument(12)) });
  const retrain = await RetrainService.open({
    sql,
    registry,
    jobs,
    datasets,
    trainers: [fakeTrainerModule],
    runsRoot: join(root, "runs"),
    training: { execArgv: CHILD_EXEC_ARGV, graceMs: 10_000, termMs: 300 },
    ...options,
  });
  const startWorker = (more: Partial<ConstructorParameters<typeof JobWorker>[0]> = {}) => {
    const worker = new JobWorker({
      queue: jobs,
      handlers: { retrain: retrain.handler },
      pollMs: 20,
      cancelCheckMs: 20,
      heartbeatMs: 200,
      ...more,
    });
    worker.start();
    return worker;
  };
  return { registry, events, jobs, datasets, retrain, startWorker };
}
