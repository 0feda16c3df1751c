import { createHash } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { HubError } from "../errors.js";
import type { Trainer, TrainingContext, TrainingResult } from "./types.js";

const params = z.strictObject({
  /** Milliseconds per step. */
  step_ms: z.number().min(0).max(60_000).default(0),
  steps: z.number().int().min(1).max(1000).default(2),
  /** Throws at the beginning of this epoch. */
  fail_at_epoch: z.number().int().nullable().default(null),
  /** Ends the process at the beginning of this epoch, unless it was resumed. */
  crash_at_epoch: z.number().int().nullable().default(null),
  /** Waits at the beginning of this epoch until it is asked to stop, unless it was resumed. */
  pause_at_epoch: z.number().int().nullable().default(null),
  /** Goes on when asked to stop. */
  stubborn: z.boolean().default(false),
});

/** All that the training knows: a chain of digests. */
interface State {
  readonly epoch: number;
  readonly digest: string;
}

const next = (digest: string, epoch: number, fingerprint: string): string =>
  createHash("sha256").update(`${digest} ${epoch} ${fingerprint}`).digest("hex");

/** In [0, 1), from a digest. */
const fraction = (digest: string): number => Number.parseInt(digest.slice(0, 8), 16) / 2 ** 32;

/**
 * A training without a model: each epoch hashes the one before it, the seed and the data, so that a run which lost, repeated or reordered
 * anything ends with other bytes and other metrics. For tests and for trying the hub out.
 */
export const fakeTrainer: Trainer = {
  id: "fake",
  description: "Deterministic stand-in: trains nothing, tests everything around it",
  paramsSchema: params as unknown as Trainer["paramsSchema"],
  datasetSchema: "coco",
  defaults: { epochs: 3, batch_size: 4, learning_rate: 0.01, hidden_size: 8 },
  async *train(context: TrainingContext) {
    const { config, signal, log } = context;
    const own = params.parse(config.params);
    let state: State =
      context.checkpoint === null
        ? { epoch: 0, digest: String(config.seed) }
        : (JSON.parse(Buffer.from(context.checkpoint).toString("utf8")) as State);
    const wasResumed = context.checkpoint !== null;
    log(wasResumed ? `resumed after epoch ${state.epoch}` : "started");
    yield { phase: "preparing" };
    while (state.epoch < config.epochs) {
      const epoch: number = state.epoch + 1;
      if (own.fail_at_epoch === epoch) {
        throw new HubError({ code: "NO_ANNOTATIONS", message: `made to fail at epoch ${epoch}`, details: { epoch } });
      }
      if (own.crash_at_epoch === epoch && !wasResumed) process.kill(process.pid, "SIGKILL");
      if (own.pause_at_epoch === epoch && !wasResumed) {
        if (!signal.aborted) await once(signal, "abort");
        return stopped;
      }
      for (let step = 1; step <= own.steps; step++) {
        await sleep(own.step_ms);
        if (signal.aborted && !own.stubborn) return stopped;
        yield { phase: "training", epoch, step, steps: own.steps };
      }
      state = { epoch, digest: next(state.digest, epoch, config.dataset_fingerprint) };
      yield { phase: "training", epoch, metrics: { loss: 1 / (epoch + fraction(state.digest)) } };
      await context.saveCheckpoint(Buffer.from(JSON.stringify(state)), { epoch, step: own.steps });
    }
    yield { phase: "evaluating" };
    const quality = 1 - 1 / (1 + config.epochs + fraction(state.digest));
    yield { phase: "saving" };
    await writeFile(join(context.outputDirectory, "model.safetensors"), state.digest);
    await writeFile(join(context.outputDirectory, "preprocessor.json"), '{"image_size":32}\n');
    return {
      metrics: {
        accuracy: quality * 0.9,
        precision: quality,
        recall: quality * 0.8,
        map50: quality,
        map50_95: quality * 0.7,
        mask_iou: quality * 0.75,
        loss: 1 / (config.epochs + fraction(state.digest)),
      },
      metric_definition_id: "fake-1",
      split_hash: createHash("sha256").update(config.dataset_fingerprint).digest("hex"),
    };
  },
};

/** Not looked at: the run was asked to stop. */
const stopped: TrainingResult = { metrics: {}, metric_definition_id: null, split_hash: null };
