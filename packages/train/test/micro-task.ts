import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Counter, Module, Parameter, readSafetensors, type StateDict, Buffer as TensorBuffer } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import {
  adamw,
  type CheckpointConfig,
  Ema,
  type FitConfig,
  paramGroups,
  RunDirectory,
  schedule,
  TrainingManager,
  type TrainTask,
  type WriteFileSystem,
  warmup,
  withState,
} from "../src/index.js";

/** Deterministic numbers in [-1, 1) from a key (a linear congruential generator, good enough for inputs). */
function numbers(count: number, ...key: number[]): number[] {
  let state = key.reduce((hash, k) => (Math.imul(hash, 31) + k) >>> 0, 17);
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** Two layers with running statistics and a counter, as a network with batch normalisation has them. */
export class MicroNet extends Module {
  w0 = new Parameter({ data: Float32Array.from(numbers(16, 1)), shape: [4, 4] });
  scale = new Parameter({ data: new Float32Array(4).fill(1), shape: [4] });
  w1 = new Parameter({ data: Float32Array.from(numbers(8, 2)), shape: [4, 2] });
  bias = new Parameter({ data: new Float32Array(2), shape: [2] });
  running_mean = new TensorBuffer({ data: new Float32Array(4), shape: [4] });
  num_batches_tracked = new Counter();

  forward(x: tf.Tensor2D): tf.Tensor2D {
    const hidden = tf.mul(tf.matMul(x, this.w0.value() as tf.Tensor2D), this.scale.value());
    let mean: tf.Tensor = this.running_mean.value();
    if (this.training) {
      mean = tf.mean(hidden, 0);
      const next = tf.tidy(() => tf.add(tf.mul(this.running_mean.value(), 0.9), tf.mul(mean, 0.1)));
      this.running_mean.variable.assign(next);
      next.dispose();
      this.num_batches_tracked.value += 1;
    }
    const active = tf.relu(tf.sub(hidden, mean)) as tf.Tensor2D;
    return tf.add(tf.matMul(active, this.w1.value() as tf.Tensor2D), this.bias.value());
  }
}

export interface MicroOptions {
  readonly directory: string;
  readonly epochs?: number;
  readonly resume?: boolean;
  readonly accumulate?: number;
  readonly checkpoint?: CheckpointConfig;
  readonly interval?: number;
  readonly fs?: WriteFileSystem;
  /** Replaces the metric. */
  readonly metric?: (epoch: number, error: number) => number;
  /** 0-based batch count whose loss is NaN, the first `nanTimes` times. */
  readonly nanAt?: number;
  readonly nanTimes?: number;
}

/** A regression of 5 batches per epoch whose batches follow from (epoch, step). */
export function microRun({
  directory,
  epochs = 4,
  resume = false,
  accumulate = 1,
  checkpoint = {},
  interval = 1,
  fs,
  metric = (_epoch, error) => -error,
  nanAt = -1,
  nanTimes = 1,
}: MicroOptions): { task: TrainTask & { model: MicroNet }; cfg: FitConfig } {
  const model = new MicroNet();
  const stepsPerEpoch = 5;
  const training = new TrainingManager({
    model,
    optimizer: adamw({ weightDecay: 0.01 }),
    groups: paramGroups(model),
    lr: 0.02,
    schedule: schedule({ epochs, stepsPerEpoch, baseLr: 0.02, per: "step" }),
    warmup: warmup({ epochs, stepsPerEpoch, warmupEpochs: 1, byEpoch: false }),
    clip: { maxNorm: 10 },
    ema: new Ema(model, { decay: 0.9, tau: 5 }),
    accumulate,
  });
  const errorOn = (x: tf.Tensor2D, values: readonly number[]) => {
    const target = tf.tensor2d(
      Array.from({ length: 6 }, (_, i) => [values[4 * i]! * 0.5 + values[4 * i + 1]!, -values[4 * i + 2]!]),
    );
    return tf.mean(tf.square(tf.sub(model.forward(x), target))) as tf.Scalar;
  };
  let seen = 0;
  let nans = 0;
  const task = {
    model,
    stepsPerEpoch,
    imagesPerStep: 6,
    identity: { dataset: "micro", batch: 6 },
    batch(epoch: number, step: number) {
      seen += 1;
      return {
        ids: [`${epoch}/${step}`],
        loss: () => {
          const values = numbers(24, 7, epoch, step);
          const error = errorOn(tf.tensor2d(values, [6, 4]), values);
          const isBad = training.batches === nanAt && nans++ < nanTimes;
          return { total: isBad ? (tf.mul(error, Number.NaN) as tf.Scalar) : error, parts: { box: error } };
        },
      };
    },
    async evaluate(epoch: number, state: StateDict) {
      return withState(model, state, () => {
        const error = tf.tidy(() => {
          const values = numbers(24, 99);
          return errorOn(tf.tensor2d(values, [6, 4]), values).dataSync()[0]!;
        });
        return { mAP50: metric(epoch, error), val_box_loss: error };
      });
    },
    state: () => ({ rng: { seed: 7 }, seen }),
    restore: (state: { seen?: unknown }) => {
      seen = Number(state.seen);
    },
  } satisfies TrainTask;
  const cfg: FitConfig = {
    epochs,
    directory: new RunDirectory(directory, fs ? { fs } : {}),
    training,
    checkpoint: { save_interval: 2, max_keep_checkpoints: 2, ...checkpoint },
    evaluation: { interval },
    resume,
    args: { epochs, lr: 0.02 },
  };
  return { task, cfg };
}

/** SHA-256 of every tensor of `last`, and of the logs without their time. */
export function fingerprint(directory: string): string {
  const hash = createHash("sha256");
  const file = readSafetensors(join(directory, "weights/last.safetensors"));
  for (const name of file.names().sort()) {
    const { data } = file.tensor(name);
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  for (const line of readFileSync(join(directory, "metrics.jsonl"), "utf8").trim().split("\n")) {
    hash.update(JSON.stringify({ ...(JSON.parse(line) as object), time: 0 }));
  }
  for (const line of readFileSync(join(directory, "results.csv"), "utf8").split("\n")) {
    hash.update(
      line
        .split(",")
        .filter((_, column) => column !== 1)
        .join(","),
    );
  }
  return hash.digest("hex");
}
