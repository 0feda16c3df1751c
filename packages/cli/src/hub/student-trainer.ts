import { existsSync } from "node:fs";
import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Trainer } from "@seg/model-hub";
import { z } from "zod";
import { optimize, optimizeOptions } from "../commands/optimize.js";
import { trainStudentCommand, trainStudentOptions } from "../commands/train-student.js";
import { resolveConfig } from "../resolve-config.js";
import { hubMetrics } from "./hub-metrics.js";
import { prepareSplits } from "./prepare-splits.js";
import { finite, jobOutput, TrainerReports } from "./trainer-reports.js";

const params = z.strictObject({
  /** Input side in pixels. */
  imgsz: z.number().int().min(32).max(4096).multipleOf(32).default(640),
  /** Architecture; from the data when absent. */
  student: z.string().optional(),
  /** Share of the images that the metrics are measured on. */
  val_share: z.number().gt(0).max(0.5).default(0.2),
  /** Threads of the engine; all cores when absent. */
  threads: z.number().int().min(1).max(1024).optional(),
});

/** YOLOv8's first convolution has 16 channels in the nano networks and 32 in the small ones. */
const NANO_WIDTH = 16;

/** Runs as it is: what the hub predicts with. */
const EXPORTED = "model_fp32.onnx";
/** Files of a run that make the version beside it: enough for `seg optimize --model`. */
const KEPT = ["student.json", "class_mapping.json", "results.csv", "weights/student.safetensors"];

/**
 * `seg train-student` as a trainer of the hub: the prompt-free student of the data's kind, distilled from labels. Runs in the hub's training
 * process; its run directory survives cancelling, so a resumed job goes on from the newest checkpoint of the run.
 */
export const trainer: Trainer = {
  id: "student",
  description: "Prompt-free student from labels; hidden_size 16 or less: nano network, more: small",
  paramsSchema: params as unknown as Trainer["paramsSchema"],
  datasetSchema: "coco",
  defaults: { epochs: 100, batch_size: 16, learning_rate: 0.002, hidden_size: NANO_WIDTH },
  async *train({ config, datasets, baseDirectory, outputDirectory, signal, checkpoint, saveCheckpoint, log }) {
    const own = params.parse(config.params);
    yield { phase: "preparing" };
    const work = join(dirname(outputDirectory), "student");
    const { root, train, splitHash } = await prepareSplits({
      datasets,
      work,
      valShare: own.val_share,
      seed: config.seed,
    });
    const run = join(work, "run");
    const isResumed = checkpoint !== null && existsSync(run);
    if (isResumed) log("resumed from the newest checkpoint of the run");
    const batch = Math.min(config.batch_size, train.images.length);
    const stepsPerEpoch = Math.ceil(train.images.length / batch);
    const resolved = resolveConfig({
      argv: [
        ...["--data", join(work, "train.json"), "--val", join(work, "val.json"), "--images", root, "--output", run],
        ...["--epochs", config.epochs, "--batch", batch, "--seed", config.seed, "--lr", config.learning_rate].map(
          String,
        ),
        ...["--imgsz", String(own.imgsz), "--edge", String(config.hidden_size <= NANO_WIDTH)],
        ...(own.student === undefined ? [] : ["--student", own.student]),
        ...(own.threads === undefined ? [] : ["--threads", String(own.threads)]),
        ...(baseDirectory === null ? [] : ["--weights", join(baseDirectory, "weights", "student.safetensors")]),
        ...(isResumed ? ["--resume"] : []),
      ],
      specs: trainStudentOptions,
    });
    const reports = new TrainerReports();
    let measured: Record<string, number> = {};
    const lossOf = new Map<number, number>();
    let last: { epoch: number; step: number } = { epoch: 0, step: 0 };
    const output = jobOutput({
      log,
      event(event) {
        const { type, epoch, step, losses, metrics } = event as {
          type: string;
          epoch?: number;
          step?: number;
          losses?: Record<string, number>;
          metrics?: Record<string, number>;
        };
        if (epoch === undefined) return;
        if (type === "epoch" && losses !== undefined) lossOf.set(epoch, totalLoss(losses));
        if (type === "step" && step !== undefined) {
          last = { epoch, step };
          const within = ((step - 1) % stepsPerEpoch) + 1;
          reports.push({ phase: "training", epoch, step: within, steps: stepsPerEpoch, metrics: finite(losses) });
        } else if (type === "eval" && metrics !== undefined) {
          const { map50, map50_95, precision, recall } = hubMetrics(metrics);
          const shown = {
            map50: map50 ?? null,
            map50_95: map50_95 ?? null,
            precision: precision ?? null,
            recall: recall ?? null,
          };
          reports.push({ phase: "training", epoch, metrics: shown }, { epoch, step: last.step });
        }
      },
      result(result) {
        const best = result["best"] as { epoch?: number; metrics?: Record<string, number> } | null;
        measured = { ...(result["metrics"] as Record<string, number>), ...best?.metrics };
        const loss = lossOf.get(best?.epoch ?? Number(result["epoch"]));
        if (loss !== undefined) measured["loss"] = loss;
      },
    });
    yield* reports.follow(
      () => trainStudentCommand(resolved.values, output, { positional: [], signal, config: resolved }),
      saveCheckpoint,
    );
    if (signal.aborted) return { metrics: {}, metric_definition_id: null, split_hash: null };
    yield { phase: "saving" };
    const optimized = join(work, "optimized");
    const exporting = resolveConfig({
      argv: ["--model", run, "--quantize", "none", "--output", optimized],
      specs: optimizeOptions,
    });
    await optimize(exporting.values, jobOutput({ log, event() {}, result() {} }), {
      positional: [],
      signal,
      config: exporting,
    });
    await mkdir(outputDirectory, { recursive: true });
    await copyFile(join(optimized, EXPORTED), join(outputDirectory, EXPORTED));
    await mkdir(join(outputDirectory, "weights"), { recursive: true });
    for (const file of KEPT) {
      if (existsSync(join(run, file))) await copyFile(join(run, file), join(outputDirectory, file));
    }
    const hasMasks = measured["mask_mAP50"] !== undefined;
    return {
      metrics: hubMetrics(measured),
      metric_definition_id: hasMasks ? "coco-masks-val" : "coco-boxes-val",
      split_hash: splitHash,
    };
  },
};

/** The parts are weighted already: the loss that was minimised is their sum. */
const totalLoss = (losses: Readonly<Record<string, number>>): number =>
  Object.values(losses).reduce((sum, part) => sum + part, 0);
