/**
 * The thread of a pool: receives jobs, answers with tensors whose buffers it gives away.
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import { createBufferPool } from "./buffer-pool.js";
import type { PreprocessConfig } from "./config.js";
import { PreprocessError } from "./errors.js";
import type { ModelKey } from "./models.js";
import { planModel } from "./plan.js";
import { runJob } from "./run-job.js";
import { type JobMessage, type PlainError, type PlainResult, toPlainError, toPlainResult } from "./worker-protocol.js";

/** What a pool gives each of its threads. */
export interface WorkerSetup {
  readonly config: PreprocessConfig;
  readonly models: readonly ModelKey[];
  readonly shareBuffers: boolean;
}

/** One answer; `crash` is a fault of the program, not of the picture. */
export type WorkerAnswer = { result: PlainResult } | { error: PlainError } | { crash: string };

const setup = workerData as WorkerSetup;
const plans = setup.models.map((model) => planModel(setup.config, model));
const port = parentPort!;

const pool = createBufferPool();

port.on("message", async ({ job, spare }: JobMessage) => {
  for (const buffer of spare) pool.give(buffer);
  let answer: WorkerAnswer;
  const buffers = new Set<ArrayBuffer>();
  try {
    const result = await runJob(job, plans, { shareBuffers: setup.shareBuffers, out: {}, pool });
    for (const [, entry] of result.entries) {
      if (PreprocessError.isInstance(entry)) continue;
      for (const { data } of Object.values(entry.tensors)) buffers.add(data.buffer as ArrayBuffer);
    }
    answer = { result: toPlainResult(result) };
  } catch (error) {
    answer = PreprocessError.isInstance(error)
      ? { error: toPlainError(error) }
      : { crash: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  port.postMessage(answer, [...buffers]);
});
