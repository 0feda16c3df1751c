import { copyFileSync, existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import {
  type DetectorEvaluation,
  evaluateGroundingDino,
  fineTuneGroundingDino,
  formatDetectorEvaluation,
  formatRetention,
  type GroundingDinoPreset,
  loadGroundingDino,
  loadGroundingDinoProcessor,
  loadTeachers,
  RETENTION_GATE,
  type TrainingMethod,
} from "@seg/teachers";
import type { OptionValues } from "../args.js";
import { writeJson } from "../files.js";
import { duration, type Output } from "../output.js";
import { detectorRetention } from "./detector-retention.js";
import { EMBEDDED_GROUNDING_DINO, type GroundingDinoRecord, groundingDinoRecordFile } from "./detector-teacher.js";
import type { TeacherData } from "./teacher-data.js";
import { type GateCheck, GROUNDING_DINO_GATE, warnBelowGate } from "./teacher-gate.js";

/** Adapts Grounding DINO to the boxes; returns what the command's result says of it. */
export async function trainGroundingDino({
  options,
  base,
  data,
  output,
  signal,
}: {
  options: OptionValues;
  /** Folder of the base model. */
  base: string;
  data: TeacherData;
  output: Output;
  signal: AbortSignal;
}): Promise<{ readonly missed: readonly GateCheck[]; readonly result: Record<string, unknown> }> {
  const name = options["teacher"] as string;
  const directory = options["output"] as string;
  const limit = options["grounding_dino.max-images"] as number | undefined;
  const items = limit === undefined ? data.train : data.train.slice(0, limit);
  const processor = loadGroundingDinoProcessor(base);
  // A class name that cannot be a phrase stops here, before anything is computed.
  const phrases = processor.phrases(data.names);
  const model = loadGroundingDino(base);
  const number = (key: string) => (options[`grounding_dino.${key}`] ?? options[key]) as number | undefined;
  const given = <T>(key: string, value: T | undefined) => (value === undefined ? {} : { [key]: value });
  const rank = number("lora.r");
  const alpha = number("lora.lora_alpha");
  const started = performance.now();
  const curve: { step: number; loss: number }[] = [];
  const method = options["method"] as TrainingMethod;
  const folder = method === "full" ? "grounding_dino_full" : "grounding_dino_lora";
  const outDir = join(directory, "teachers", folder);
  /** Trained beside codes, used beside the weights they stand for: the two differ. */
  const mergedIntoOriginal = async (): Promise<DetectorEvaluation> => {
    const teachers = join(directory, "teachers");
    const loaded = loadTeachers(teachers, { groundingDinoBase: base, only: ["grounding_dino"] }).groundingDino!;
    try {
      const { encode, size } = processor;
      return await evaluateGroundingDino({
        model: loaded,
        items: data.val,
        phrases,
        encode: (list) => encode(list),
        size,
        signal,
      });
    } finally {
      loaded.dispose();
    }
  };
  let share = 0;
  let total = 0;
  let best: { epoch: number; mAP50: number }[] = [];
  try {
    const result = await fineTuneGroundingDino({
      model,
      items,
      phrases,
      encode: (list) => processor.encode(list),
      size: processor.size,
      method,
      ...(rank === undefined && alpha === undefined
        ? {}
        : {
            lora: { ...given("r", rank), ...given("loraAlpha", alpha ?? (rank === undefined ? undefined : 2 * rank)) },
          }),
      ...given("preset", options["grounding_dino.preset"] as GroundingDinoPreset | undefined),
      ...given("epochs", number("epochs")),
      ...given("batch", number("batch")),
      ...given("lr", number("lr")),
      ...given("patience", number("patience")),
      ...given("maxTrainableRatio", options["max-trainable-ratio"] as number | undefined),
      ...given("cacheViews", options["cache-views"] as number | undefined),
      cacheDir: join(directory, "teacher_cache", "grounding_dino_features"),
      seed: options["seed"] as number,
      resume: options["resume"] as boolean,
      ...(data.val.length > 0 ? { validation: data.val } : {}),
      outDir,
      signal,
      onEvent: (event) => {
        if (event.type === "start") {
          total = event.steps;
          share = event.trainable / (event.trainable + event.frozen);
          output.line(
            `dino ${method.padEnd(7)}${event.trainable} trainable of ${event.trainable + event.frozen} parameters (${(100 * share).toFixed(2)} %), rest frozen and verified; ` +
              `${event.instances} boxes, ${event.skippedInstances} unusable`,
          );
        }
        if (event.type === "evaluation") {
          output.line(
            `${event.when === "before" ? "before" : "after "}      ${formatDetectorEvaluation(event.evaluation, data.names)}`,
          );
        }
        if (event.type === "notice") output.line(`dino        ${event.message}`);
        if (event.type !== "train") {
          output.event({ teacher: "grounding_dino", ...event } as unknown as Record<string, unknown>);
          return;
        }
        const { event: train } = event;
        if (train.type === "step") {
          curve.push({ step: train.step, loss: train.loss });
          output.progress({
            label: `dino ${method}`,
            done: train.step,
            total,
            ...(train.etaSeconds === null ? {} : { etaSeconds: train.etaSeconds }),
            detail: `loss ${train.loss.toFixed(3)}`,
          });
        }
        if (train.type === "eval") best.push({ epoch: train.epoch, mAP50: train.metrics["mAP50"] ?? 0 });
        if (train.type === "warning") output.line(`warning: ${train.message}`);
        if (train.type === "early-stop")
          output.line(`dino        stopped early: no better mAP50 for ${train.patience} epochs`);
        if (train.type !== "end")
          output.event({ teacher: "grounding_dino", ...train } as unknown as Record<string, unknown>);
      },
    });
    const { before, after, merge } = result;
    const retention =
      result.handle === null
        ? null
        : await detectorRetention({
            model,
            processor,
            isEmbedded: name === EMBEDDED_GROUNDING_DINO,
            prompts: options["retention.prompts"] as string[] | undefined,
            images: data.val,
            names: data.names,
            signal,
          });
    if (retention !== null) {
      output.line(`retention   ${formatRetention(retention)}`);
      const scores = [retention.labelled?.ratio, retention.agreement.f1].filter((v) => v !== null && v !== undefined);
      if (scores.some((value) => value < RETENTION_GATE)) {
        output.line(
          `warning: the adapted teacher keeps less than ${RETENTION_GATE} of its base on other prompts; use it for these classes only`,
        );
      }
    }
    const isFull = result.handle === null;
    // A folder that loads by itself, like the one it came from.
    if (isFull) copyModelFiles(base, outDir);
    const origin = name === EMBEDDED_GROUNDING_DINO ? name : relative(join(directory, "teachers"), resolve(base));
    const record: GroundingDinoRecord = {
      version: 1,
      base: isFull ? folder : origin,
      adapter: isFull ? null : folder,
      phrases,
    };
    writeJson(groundingDinoRecordFile(directory), record);
    const onOriginal = method === "qlora" && data.val.length > 0 ? await mergedIntoOriginal() : null;
    if (onOriginal !== null) {
      output.line(`merged      into the original base: ${formatDetectorEvaluation(onOriginal, data.names)}`);
    }
    const named = (e: DetectorEvaluation | null) =>
      e && { ...e, perClass: e.perClass.map((c) => ({ ...c, name: data.names[c.classId] })) };
    best = best.sort((a, b) => a.epoch - b.epoch);
    writeJson(join(directory, "teachers", "grounding_dino_metrics.json"), {
      base: name,
      steps: result.steps,
      reason: result.reason,
      trainableShare: share,
      before: named(before),
      after: named(after),
      afterOnOriginalBase: named(onOriginal),
      validation: best,
      thresholds: result.thresholds,
      retention,
      merge,
      curve,
    });
    const missed = warnBelowGate(
      [
        {
          metric: "mAP50",
          value: (onOriginal ?? after)?.mAP50 ?? null,
          gate: GROUNDING_DINO_GATE,
          advice: "more epochs or images, a higher --grounding_dino.lora.r or a larger --teacher make a better teacher",
        },
      ],
      output,
    );
    const check =
      merge === null
        ? ""
        : `, adapter against merged ${merge.adapterVsMerged.toExponential(1)} at logit scale ${merge.scale.toFixed(1)}`;
    output.line(`dino        ${method} in ${outDir} (${duration((performance.now() - started) / 1000)})${check}`);
    return { missed, result: { before, after, merge, retention, steps: result.steps, reason: result.reason } };
  } finally {
    model.dispose();
  }
}

/** What a model folder holds beside its weights. */
const MODEL_FILES = ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];

function copyModelFiles(from: string, to: string): void {
  for (const file of MODEL_FILES) if (existsSync(join(from, file))) copyFileSync(join(from, file), join(to, file));
}
