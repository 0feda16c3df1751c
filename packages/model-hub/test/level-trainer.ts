import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { Trainer } from "../src/training/types.js";

const params = z.strictObject({ level: z.number().default(1) });

/** A training whose loss is what it is told, in every epoch; above 1 it goes on until it is stopped. */
export const trainer: Trainer = {
  id: "level",
  description: "loss of a given level",
  paramsSchema: params as unknown as Trainer["paramsSchema"],
  datasetSchema: "coco",
  defaults: { epochs: 10, batch_size: 4, learning_rate: 0.01, hidden_size: 8 },
  async *train({ config, signal }) {
    const { level } = params.parse(config.params);
    for (let epoch = 1; (level > 1 || epoch <= config.epochs) && !signal.aborted; epoch++) {
      // Progress is told four times a second at most.
      await sleep(100);
      yield { phase: "training", epoch: Math.min(epoch, config.epochs), metrics: { loss: level } };
    }
    return { metrics: { loss: level }, metric_definition_id: null, split_hash: null };
  },
};
