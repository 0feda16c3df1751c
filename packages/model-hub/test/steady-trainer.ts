import { fakeTrainer } from "../src/training/fake-trainer.js";
import type { Trainer } from "../src/training/types.js";

/** The stand-in trainer at a pace that can be watched, with the metrics of a good run. */
export const trainer: Trainer = {
  ...fakeTrainer,
  id: "yolov8n-seg",
  description: "prompt-free student: boxes and masks",
  defaults: { epochs: 20, batch_size: 16, learning_rate: 0.001, hidden_size: 64 },
  async *train(context) {
    const params = { ...context.config.params, step_ms: 80 };
    const result = yield* fakeTrainer.train({ ...context, config: { ...context.config, params } });
    return {
      ...result,
      metrics: {
        accuracy: 0.931,
        precision: 0.944,
        recall: 0.928,
        map50: 0.951,
        map50_95: 0.742,
        mask_iou: 0.812,
        loss: 0.0512,
      },
      metric_definition_id: "coco-1",
      split_hash: "split-1",
    };
  },
};

/** Waits in its second epoch until it is asked to stop; resumed it goes on to the end. */
export const patient: Trainer = {
  ...trainer,
  train: (context) => {
    const params = { ...context.config.params, pause_at_epoch: 2 };
    return trainer.train({ ...context, config: { ...context.config, params } });
  },
};

/** A second one, whose capacity is the rank of its adapters. */
export const adapter: Trainer = {
  ...trainer,
  id: "sam-lora",
  description: "adapters of the mask teacher",
  defaults: { epochs: 40, batch_size: 4, learning_rate: 0.0005, hidden_size: 8 },
  maxHiddenSize: 256,
};
