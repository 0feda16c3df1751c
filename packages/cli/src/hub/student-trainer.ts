import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { type CocoDataset, splitDataset } from "@seg/coco-dataset";
import { HubError, type OpenDataset, type Trainer, type TrainerProgress, type TrainingResult } from "@seg/model-hub";
import { z } from "zod";
import { parseArguments } from "../args.js";
import { trainStudentCommand, trainStudentOptions } from "../commands/train-student.js";
import { writeJson } from "../files.js";
import type { Output } from "../output.js";

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

/** Files of a run that make the version: enough for `seg optimize --model`. */
const KEPT = ["student.json", "class_mapping.json", "results.csv", "weights/student.safetensors"];

/**
 * One COCO document of several data sets: categories by name, ids renumbered, file names relative to `root`.
 * @throws HubError NO_ANNOTATIONS when a data set came without images
 */
export async function mergeDatasets(datasets: readonly OpenDataset[], root: string): Promise<CocoDataset> {
  const categories: { id: number; name: string }[] = [];
  const images: Record<string, unknown>[] = [];
  const annotations: Record<string, unknown>[] = [];
  for (const { record, directory, annotations: file, images: folder } of datasets) {
    if (file === null || folder === null) {
      throw new HubError({
        code: "NO_ANNOTATIONS",
        message: `Data set ${record.name} has no images. Upload a .zip that holds the images beside the COCO file.`,
        details: { dataset: record.name },
      });
    }
    const coco = JSON.parse(await readFile(resolve(directory, file), "utf8")) as CocoDataset;
    const categoryIds = new Map<number, number>();
    for (const { id, name } of coco.categories) {
      let known = categories.find((category) => category.name === name);
      if (known === undefined) {
        known = { id: categories.length + 1, name };
        categories.push(known);
      }
      categoryIds.set(id, known.id);
    }
    const imageIds = new Map<number, number>();
    for (const image of coco.images) {
      imageIds.set(image.id, images.length + 1);
      images.push({
        ...image,
        id: images.length + 1,
        file_name: relative(root, resolve(directory, folder, image.file_name)).replaceAll("\\", "/"),
      });
    }
    for (const annotation of coco.annotations) {
      annotations.push({
        ...annotation,
        id: annotations.length + 1,
        image_id: imageIds.get(annotation.image_id),
        category_id: categoryIds.get(annotation.category_id),
      });
    }
  }
  return { images, annotations, categories } as unknown as CocoDataset;
}

/** TP / (TP + FP + FN) from precision and recall: 1 / (1/P + 1/R - 1). */
export const accuracyOf = (precision: number, recall: number): number =>
  precision === 0 || recall === 0 ? 0 : 1 / (1 / precision + 1 / recall - 1);

/** The registry's names of what the student was measured by: masks where it draws them, else boxes. */
export function hubMetrics(measured: Readonly<Record<string, number>>): TrainingResult["metrics"] {
  const prefix = measured["mask_mAP50"] === undefined ? "" : "mask_";
  const rate = (name: string): number | null => {
    const value = measured[prefix + name];
    return value === undefined || !Number.isFinite(value) ? null : Math.min(1, Math.max(0, value));
  };
  const [precision, recall] = [rate("precision"), rate("recall")];
  const loss = measured["loss"];
  return {
    accuracy: precision === null || recall === null ? null : accuracyOf(precision, recall),
    precision,
    recall,
    map50: rate("mAP50"),
    map50_95: rate("mAP50-95"),
    mask_iou: prefix === "" ? null : rate("IoU"),
    loss: loss === undefined || !Number.isFinite(loss) ? null : loss,
  };
}

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
  async *train({ config, datasets, outputDirectory, signal, checkpoint, saveCheckpoint, log }) {
    const own = params.parse(config.params);
    yield { phase: "preparing" };
    const work = join(dirname(outputDirectory), "student");
    await mkdir(work, { recursive: true });
    // Every data set lies in a folder of its own below one root.
    const root = dirname(datasets[0]!.directory);
    const merged = await mergeDatasets(datasets, root);
    const { splits } = splitDataset(merged, {
      ratios: { train: 1 - own.val_share, val: own.val_share },
      seed: config.seed,
    });
    const { train, val } = splits as { train: CocoDataset; val: CocoDataset };
    writeJson(join(work, "train.json"), train);
    writeJson(join(work, "val.json"), val);
    const splitHash = createHash("sha256")
      .update(JSON.stringify(val.images.map((image) => image.file_name).sort()))
      .digest("hex");
    const run = join(work, "run");
    const isResumed = checkpoint !== null && existsSync(run);
    if (isResumed) log("resumed from the newest checkpoint of the run");
    const batch = Math.min(config.batch_size, train.images.length);
    const stepsPerEpoch = Math.ceil(train.images.length / batch);
    const { values } = parseArguments(
      [
        ...["--data", join(work, "train.json"), "--val", join(work, "val.json"), "--images", root, "--output", run],
        ...["--epochs", config.epochs, "--batch", batch, "--seed", config.seed, "--lr", config.learning_rate].map(
          String,
        ),
        ...["--imgsz", String(own.imgsz), "--edge", String(config.hidden_size <= NANO_WIDTH)],
        ...(own.student === undefined ? [] : ["--student", own.student]),
        ...(own.threads === undefined ? [] : ["--threads", String(own.threads)]),
        ...(isResumed ? ["--resume"] : []),
      ],
      trainStudentOptions,
    );
    const reports = new Reports();
    let measured: Record<string, number> = {};
    const lossOf = new Map<number, number>();
    let last: { epoch: number; step: number } = { epoch: 0, step: 0 };
    const output: Output = {
      json: true,
      line: log,
      progress() {},
      settle() {},
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
    };
    const training = trainStudentCommand(values, output, { positional: [], signal }).then(
      () => reports.end(null),
      (error: unknown) => reports.end(error),
    );
    for await (const { report, saved } of reports) {
      // The run keeps its own state; the hub only needs to know that there is some.
      if (saved !== null) await saveCheckpoint(Buffer.from(JSON.stringify(saved)), saved);
      yield report;
    }
    await training;
    if (signal.aborted) return { metrics: {}, metric_definition_id: null, split_hash: null };
    yield { phase: "saving" };
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

const finite = (losses: Readonly<Record<string, number>> | undefined): Record<string, number | null> =>
  Object.fromEntries(
    Object.entries(losses ?? {}).map(([name, value]) => [name, Number.isFinite(value) ? value : null]),
  );

interface Entry {
  readonly report: TrainerProgress;
  /** A checkpoint that the report follows. */
  readonly saved: { readonly epoch: number; readonly step: number } | null;
}

/** Callbacks in, an async iterable out. */
class Reports implements AsyncIterable<Entry> {
  readonly #entries: Entry[] = [];
  #wake: () => void = () => {};
  #end: { readonly error: unknown } | null = null;

  push(report: TrainerProgress, saved: Entry["saved"] = null): void {
    this.#entries.push({ report, saved });
    this.#wake();
  }
  end(error: unknown): void {
    this.#end = { error };
    this.#wake();
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<Entry> {
    for (;;) {
      const entry = this.#entries.shift();
      if (entry !== undefined) yield entry;
      else if (this.#end !== null) {
        if (this.#end.error !== null) throw this.#end.error;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
