import { mkdir } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { createClassMapping, instancesOf } from "@seg/coco-dataset";
import { decodeImage } from "@seg/preprocess";
import { fineTuneSam, formatSamEvaluation, Sam, type SamEvaluation, type SamItem, selectTeachers } from "@seg/teachers";
import type { OptionSpecs, OptionValues } from "../args.js";
import { type LoadedSplit, loadSplit } from "../data.js";
import { startEngine } from "../engine.js";
import { writeJson } from "../files.js";
import type { CommandContext } from "../main.js";
import { EMBEDDED_SAM, type SamRecord, samDirectory, samRecordFile } from "../mask-teacher.js";
import type { Output } from "../output.js";
import { duration } from "../output.js";

export const trainTeacherOptions: OptionSpecs = {
  data: { type: "string", required: true, help: "training split (COCO .json)" },
  val: { type: "string", help: "validation split, measured before and after" },
  images: { type: "string", help: "folder of the images of both splits" },
  output: { type: "string", required: true, help: "experiment folder", aliases: ["output-dir"] },
  sam: {
    type: "string",
    fallback: EMBEDDED_SAM,
    help: "SAM: a folder in Hugging Face layout, or the embedded small one",
  },
  steps: { type: "number", range: { integer: true, min: 1 }, help: "optimisation steps" },
  epochs: {
    type: "number",
    range: { integer: true, min: 1 },
    fallback: 100,
    help: "rounds over the images; --steps wins",
  },
  batch: {
    type: "number",
    range: { integer: true, min: 1 },
    fallback: 4,
    help: "images per step",
    aliases: ["batch-size", "teacher.batch_size"],
  },
  lr: { type: "number", range: { above: 0 }, help: "learning rate; by decoder width when absent" },
  "lora.r": { type: "number", range: { integer: true, min: 1 }, fallback: 8, help: "rank of the adapters" },
  "lora.lora_alpha": {
    type: "number",
    range: { above: 0 },
    fallback: 16,
    help: "scale of the adapters: alpha / r",
    aliases: ["lora.alpha"],
  },
  "max-trainable-ratio": {
    type: "number",
    range: { above: 0 },
    help: "largest trainable share of the frozen parameters [0.05]",
  },
  "max-images": { type: "number", range: { integer: true, min: 1 }, help: "use at most this many training images" },
  seed: {
    type: "number",
    range: { integer: true, min: 0 },
    fallback: 0,
    help: "prompts, order, adapters",
    aliases: ["random-seed"],
  },
  threads: { type: "number", range: { integer: true, min: 1 }, help: "threads of the engine [cores]" },
};

async function itemsOf(
  split: LoadedSplit,
  output: Output,
  label: string,
  limit = Number.POSITIVE_INFINITY,
): Promise<SamItem[]> {
  const mapping = createClassMapping(split.dataset);
  const items: SamItem[] = [];
  const images = split.dataset.images.slice(0, limit);
  for (const [i, image] of images.entries()) {
    const instances = instancesOf(split.dataset, image.id, mapping);
    if (instances.some((instance) => instance.mask !== undefined)) {
      const { width, height } = image;
      items.push({
        image: await decodeImage(join(split.imagesDir, image.file_name), { expectedSize: { width, height } }),
        instances,
      });
    }
    output.progress({ label, done: i + 1, total: images.length });
  }
  return items;
}

/** One line per evaluation: mask IoU never without its two trivial baselines. */
function summary(evaluation: SamEvaluation, names: readonly string[]): string {
  return formatSamEvaluation(evaluation, names);
}

/** Adapts the teachers that the annotations call for; today SAM, where masks are annotated. */
export async function trainTeacher(options: OptionValues, output: Output, { signal }: CommandContext): Promise<void> {
  const directory = options["output"] as string;
  const images = options["images"] as string | undefined;
  const name = options["sam"] as string;
  const base = samDirectory(name);
  const train = await loadSplit(options["data"] as string, images);
  const val = options["val"] === undefined ? null : await loadSplit(options["val"] as string, images);
  const decision = selectTeachers(train.inspection);
  for (const { teacher, available, reason } of decision.decisions) {
    output.line(`teacher     ${teacher}: ${available ? "" : "NOT AVAILABLE in this version, "}${reason}`);
  }
  await mkdir(join(directory, "teachers"), { recursive: true });
  writeJson(join(directory, "teachers", "decisions.json"), {
    version: 1,
    teachers: decision.decisions,
    unavailable: decision.unavailable.map((d) => d.teacher),
  });
  if (!decision.usable.includes("sam")) {
    output.line("teacher     no teacher to adapt; the student will learn from the labels alone");
    output.result({ command: "train-teacher", adapted: [], decision });
    return;
  }
  const engine = await startEngine({ threads: options["threads"] as number | undefined });
  output.line(`engine      ${engine.name} ${engine.version}, ${engine.threads} threads`);
  const items = await itemsOf(train, output, "reading", options["max-images"] as number | undefined);
  const validation = val === null ? [] : await itemsOf(val, output, "reading");
  const names = createClassMapping(train.dataset).classes.map((c) => c.name);
  const sam = Sam.fromPretrained(base);
  const adapter = join(directory, "teachers", "sam_lora");
  const steps = options["steps"] as number | undefined;
  const lr = options["lr"] as number | undefined;
  const ratio = options["max-trainable-ratio"] as number | undefined;
  const started = performance.now();
  const curve: { step: number; loss: number }[] = [];
  let share = 0;
  try {
    const result = await fineTuneSam({
      sam,
      items,
      lora: { r: options["lora.r"] as number, loraAlpha: options["lora.lora_alpha"] as number },
      ...(steps === undefined ? { epochs: options["epochs"] as number } : { steps }),
      batch: options["batch"] as number,
      seed: options["seed"] as number,
      ...(ratio === undefined ? {} : { maxTrainableRatio: ratio }),
      ...(lr === undefined ? {} : { lr }),
      ...(validation.length > 0 ? { validation } : {}),
      outDir: adapter,
      cacheDir: join(directory, "teacher_cache", "sam_embeddings"),
      signal,
      onEvent: (event) => {
        if (event.type === "step") {
          curve.push({ step: event.step, loss: event.loss });
          const perStep = (performance.now() - started) / 1000 / event.step;
          output.progress({
            label: "sam lora",
            done: event.step,
            total: event.steps,
            etaSeconds: perStep * (event.steps - event.step),
            detail: `loss ${event.loss.toFixed(3)}  dice ${event.parts.dice.toFixed(3)}  bce ${event.parts.bce.toFixed(3)}`,
          });
        }
        if (event.type === "embedding") output.progress({ label: "embeddings", done: event.done, total: event.total });
        if (event.type === "start") {
          share = event.trainable / (event.trainable + event.frozen);
          output.line(
            `lora        ${event.trainable} trainable of ${event.trainable + event.frozen} parameters (${(100 * share).toFixed(2)} %), rest frozen and verified; ` +
              `${event.instances} instances, ${event.skippedInstances} without a mask`,
          );
        }
        if (event.type === "evaluation")
          output.line(`${event.when === "before" ? "before" : "after "}      ${summary(event.evaluation, names)}`);
        output.event(event as unknown as Record<string, unknown>);
      },
    });
    const { before, after, merge } = result;
    const record: SamRecord = {
      version: 1,
      base: name === EMBEDDED_SAM ? name : relative(join(directory, "teachers"), resolve(base)),
      adapter: "sam_lora",
    };
    writeJson(samRecordFile(directory), record);
    const named = (e: SamEvaluation | null) =>
      e && { ...e, perClass: e.perClass.map((c) => ({ ...c, name: names[c.classId] })) };
    writeJson(join(directory, "teachers", "sam_metrics.json"), {
      base: name,
      steps: result.steps,
      trainableShare: share,
      before: named(before),
      after: named(after),
      merge,
      curve,
    });
    writeJson(join(directory, "teacher_config.json"), { ...options, trainImages: items.length });
    if (before !== null && after !== null && after.meanIou <= before.meanIou) {
      output.line(
        `warning: adaptation did not raise the mask IoU (${before.meanIou.toFixed(3)} -> ${after.meanIou.toFixed(3)}); more steps or images may help`,
      );
    }
    output.line(
      `teacher     adapter in ${adapter} (${duration((performance.now() - started) / 1000)}), adapter against merged ${merge.adapterVsMerged.toExponential(1)} at logit scale ${merge.scale.toFixed(1)}`,
    );
    output.result({ command: "train-teacher", adapted: ["sam"], before, after, merge });
  } finally {
    sam.dispose();
  }
}
