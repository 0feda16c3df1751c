import { copyFileSync, existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import {
  defaultZoom,
  evaluateSam,
  fineTuneSam,
  formatSamEvaluation,
  loadTeachers,
  Sam,
  type SamEvaluation,
  type SamPreset,
  SMALL_SAM_ZOOM,
  type TrainingMethod,
} from "@seg/teachers";
import type { OptionValues } from "../args.js";
import { writeJson } from "../files.js";
import { duration, type Output } from "../output.js";
import { EMBEDDED_SAM, type SamRecord, samRecordFile } from "./mask-teacher.js";
import type { TeacherData, TeacherItem } from "./teacher-data.js";
import { type GateCheck, SAM_GATE, warnBelowGate } from "./teacher-gate.js";

/** Adapts SAM to the masks; returns what the command's result says of it. */
export async function trainSam({
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
  const name = options["sam"] as string;
  const directory = options["output"] as string;
  const { names } = data;
  const withMask = ({ instances }: TeacherItem) => instances.some(({ mask }) => mask !== undefined);
  const items = data.train.filter(withMask);
  const validation = data.val.filter(withMask);
  const sam = Sam.fromPretrained(base);
  const number = (key: string) => (options[`sam.${key}`] ?? options[key]) as number | undefined;
  const steps = number("steps");
  const lr = number("lr");
  const ratio = options["max-trainable-ratio"] as number | undefined;
  const method = options["method"] as TrainingMethod;
  const context = options["sam.zoom"] as number | undefined;
  const zoom = context === undefined ? defaultZoom(sam) : context === 0 ? null : { ...SMALL_SAM_ZOOM, context };
  const preset = options["sam.preset"] as SamPreset | undefined;
  const jitter = options["sam.box-jitter"] as number | undefined;
  const folder = method === "full" ? "sam_full" : "sam_lora";
  const outDir = join(directory, "teachers", folder);
  /** Trained beside codes, used beside the weights they stand for: the two differ. */
  const mergedIntoOriginal = async (): Promise<SamEvaluation> => {
    const loaded = loadTeachers(join(directory, "teachers"), { samBase: base, only: ["sam"] }).sam!;
    try {
      return await evaluateSam({ sam: loaded, items: validation, zoom, signal });
    } finally {
      loaded.dispose();
    }
  };
  const started = performance.now();
  const curve: { step: number; loss: number }[] = [];
  let share = 0;
  try {
    const result = await fineTuneSam({
      sam,
      items,
      method,
      zoom,
      ...(preset === undefined ? {} : { preset }),
      ...(jitter === undefined ? {} : { jitter: { relative: jitter, limit: 2.5 * jitter } }),
      lora: { r: number("lora.r") ?? 8, loraAlpha: number("lora.lora_alpha") ?? 16 },
      ...(steps === undefined ? { epochs: number("epochs") ?? 100 } : { steps }),
      batch: number("batch") ?? 4,
      seed: options["seed"] as number,
      resume: options["resume"] as boolean,
      ...(ratio === undefined ? {} : { maxTrainableRatio: ratio }),
      ...(lr === undefined ? {} : { lr }),
      ...(validation.length > 0 ? { validation } : {}),
      outDir,
      cacheDir: join(directory, "teacher_cache", "sam_embeddings"),
      signal,
      onEvent: (event) => {
        if (event.type === "step") {
          curve.push({ step: event.step, loss: event.loss });
          const perStep = (performance.now() - started) / 1000 / event.step;
          output.progress({
            label: `sam ${method}`,
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
            `sam ${method.padEnd(8)}${event.trainable} trainable of ${event.trainable + event.frozen} parameters (${(100 * share).toFixed(2)} %), rest frozen and verified; ` +
              `${event.instances} instances, ${event.skippedInstances} without a mask`,
          );
        }
        if (event.type === "notice") output.line(`sam         ${event.message}`);
        // Mask IoU never without its two trivial baselines.
        if (event.type === "evaluation") {
          output.line(`${event.when.padEnd(12)}${formatSamEvaluation(event.evaluation, names)}`);
        }
        output.event({ teacher: "sam", ...event } as unknown as Record<string, unknown>);
      },
    });
    const { before, after, merge } = result;
    const isFull = result.handle === null;
    // The network's own folder then: with the configuration that the weights were prepared for.
    if (isFull && existsSync(join(base, "preprocessor_config.json")))
      copyFileSync(join(base, "preprocessor_config.json"), join(outDir, "preprocessor_config.json"));
    const origin = name === EMBEDDED_SAM ? name : relative(join(directory, "teachers"), resolve(base));
    const record: SamRecord = { version: 1, base: isFull ? folder : origin, adapter: isFull ? null : folder, zoom };
    writeJson(samRecordFile(directory), record);
    const onOriginal = method === "qlora" && validation.length > 0 ? await mergedIntoOriginal() : null;
    if (onOriginal !== null) {
      output.line(`merged      into the original base: ${formatSamEvaluation(onOriginal, names).split("\n")[0]}`);
    }
    const named = (e: SamEvaluation | null) =>
      e && { ...e, perClass: e.perClass.map((c) => ({ ...c, name: names[c.classId] })) };
    writeJson(join(directory, "teachers", "sam_metrics.json"), {
      base: name,
      steps: result.steps,
      trainableShare: share,
      before: named(before),
      after: named(after),
      afterOnOriginalBase: named(onOriginal),
      merge,
      curve,
    });
    if (before !== null && after !== null && after.meanIou <= before.meanIou) {
      output.line(
        `warning: adaptation did not raise the mask IoU (${before.meanIou.toFixed(3)} -> ${after.meanIou.toFixed(3)}); more steps or images may help`,
      );
    }
    const missed = warnBelowGate(
      [
        {
          metric: "mask IoU",
          value: (onOriginal ?? after)?.meanIou ?? null,
          gate: SAM_GATE,
          advice: "more steps, a higher --sam.lora.r or a larger --sam make a better teacher",
        },
      ],
      output,
    );
    const check =
      merge === null
        ? ""
        : `, adapter against merged ${merge.adapterVsMerged.toExponential(1)} at logit scale ${merge.scale.toFixed(1)}`;
    output.line(`sam         ${method} in ${outDir} (${duration((performance.now() - started) / 1000)})${check}`);
    return { missed, result: { before, after, merge } };
  } finally {
    sam.dispose();
  }
}
