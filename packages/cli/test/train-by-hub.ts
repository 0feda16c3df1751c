import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { ResolvedRetrain, Trainer, TrainerProgress, TrainingContext } from "@seg/model-hub";

/** What the hub hands a trainer: the data set `tiny` below `root/datasets`, two epochs, one thread. */
export function trainingContext(
  root: string,
  name: string,
  { config = {}, ...more }: Partial<Omit<TrainingContext, "config">> & { config?: Partial<ResolvedRetrain> } = {},
) {
  const outputDirectory = join(root, name, "output-1");
  mkdirSync(outputDirectory, { recursive: true });
  const saved: { epoch: number; step: number }[] = [];
  const log: string[] = [];
  const value: TrainingContext = {
    config: {
      model: "default",
      trainer: "any",
      use_database: true,
      datasets: ["tiny"],
      records: 5,
      dataset_fingerprint: "0".repeat(64),
      epochs: 2,
      batch_size: 4,
      learning_rate: 1e-4,
      hidden_size: 2,
      params: { threads: 1 },
      seed: 0,
      base_version: null,
      description: "",
      sources: { learning_rate: "trainer" },
      ...config,
    },
    datasets: [
      {
        record: { name: "tiny" } as never,
        directory: join(root, "datasets", "tiny"),
        annotations: "annotations.json",
        images: "images",
        table: null,
      },
    ],
    baseDirectory: null,
    outputDirectory,
    signal: new AbortController().signal,
    checkpoint: null,
    saveCheckpoint: async (_, at) => void saved.push(at),
    log: (message) => log.push(message),
    ...more,
  };
  return { value, outputDirectory, saved, log };
}

/** Runs a trainer to its end. */
export async function runTrainer(trainer: Trainer, value: TrainingContext) {
  const seen: TrainerProgress[] = [];
  const training = trainer.train(value);
  for (;;) {
    const next = await training.next();
    if (next.done) return { seen, result: next.value };
    seen.push(next.value);
  }
}
