import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { copyFile, cp, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { inspectDataset } from "@seg/coco-dataset";
import { HubError, renderModelCard, type Trainer, type TrainingResult } from "@seg/model-hub";
import { selectTeachers } from "@seg/teachers";
import { z } from "zod";
import { trainTeacher, trainTeacherOptions } from "../commands/train-teacher.js";
import { writeJson } from "../files.js";
import { resolveConfig } from "../resolve-config.js";
import { EMBEDDED_GROUNDING_DINO } from "../teacher/detector-teacher.js";
import { EMBEDDED_SAM } from "../teacher/mask-teacher.js";
import { prepareSplits } from "./prepare-splits.js";
import { resolveTeacherBase } from "./teacher-base.js";
import { finite, jobOutput, TrainerReports } from "./trainer-reports.js";

const params = z.strictObject({
  /** SAM: a model of the catalogue, a folder in Hugging Face layout, or the embedded small one. */
  sam: z.string().min(1).default(EMBEDDED_SAM),
  /** Grounding DINO likewise. */
  grounding_dino: z.string().min(1).default(EMBEDDED_GROUNDING_DINO),
  /** Adapters on the base as it is, or on one of 4 bits. */
  method: z.enum(["lora", "qlora"]).default("lora"),
  /** Share of the images that the metrics are measured on. */
  val_share: z.number().gt(0).max(0.5).default(0.2),
  /** Threads of the engine; all cores when absent. */
  threads: z.number().int().min(1).max(1024).optional(),
});

type Teacher = "grounding_dino" | "sam";
/** Steps that a part of the bar is divided into. */
const TICKS = 1000;
/** PEFT's largest sensible rank; the hub refuses more. */
const MAX_RANK = 256;
/** Files of an adapter's folder that make the version. */
const ADAPTER = ["adapter_config.json", "adapter_model.safetensors", "seg_lora.json"];

interface TeacherResult {
  readonly after?: { readonly meanIou?: number; readonly mAP50?: number; readonly mAP?: number } | null;
}

/** The registry's names of what the teachers were measured by: boxes of Grounding DINO, masks of SAM. */
export function teacherMetrics(
  results: Readonly<Partial<Record<Teacher, TeacherResult>>>,
  loss: number | undefined,
): TrainingResult["metrics"] {
  const rate = (value: number | undefined) =>
    value === undefined || !Number.isFinite(value) ? null : Math.min(1, Math.max(0, value));
  const { grounding_dino: dino, sam } = results;
  return {
    map50: rate(dino?.after?.mAP50),
    map50_95: rate(dino?.after?.mAP),
    mask_iou: rate(sam?.after?.meanIou),
    loss: loss === undefined || !Number.isFinite(loss) ? null : loss,
  };
}

/**
 * `seg train-teacher` as a trainer of the hub: adapters of the teachers that the annotations call for. The version holds what
 * `seg train-student --teacher-dir` reads (`teachers/`), and per teacher a PEFT folder `finetuned-{model}-{method}-{dataset}/`. The run
 * directory survives cancelling, so a resumed job goes on from its checkpoint.
 */
export const trainer: Trainer = {
  id: "teacher",
  description: "LoRA adapters of Grounding DINO (boxes) and SAM (masks); hidden_size is the rank",
  paramsSchema: params as unknown as Trainer["paramsSchema"],
  datasetSchema: "coco",
  // The rate of the published sizes; a model's own, by its width, is taken unless the request names one.
  defaults: { epochs: 100, batch_size: 4, learning_rate: 1e-4, hidden_size: 8 },
  maxHiddenSize: MAX_RANK,
  async *train({ config, datasets, baseDirectory, outputDirectory, signal, saveCheckpoint, log }) {
    const own = params.parse(config.params);
    if (baseDirectory !== null) {
      throw new HubError({
        code: "INVALID_REQUEST",
        message: "Adapters always start from the published weights: leave base_version out.",
        details: { errors: [{ path: "base_version", message: "not taken by trainer teacher" }] },
      });
    }
    yield { phase: "preparing" };
    const work = join(dirname(outputDirectory), "teacher");
    const { root, train, splitHash } = await prepareSplits({
      datasets,
      work,
      valShare: own.val_share,
      seed: config.seed,
    });
    const wanted = selectTeachers(inspectDataset(train)).fineTune;
    const run = join(work, "run");
    const isResumed = existsSync(join(run, "teachers"));
    if (isResumed) log("resumed from the newest checkpoint of the run");
    const resolved = resolveConfig({
      argv: [
        ...["--data", join(work, "train.json"), "--val", join(work, "val.json"), "--images", root, "--output", run],
        ...["--epochs", config.epochs, "--batch", Math.min(config.batch_size, train.images.length)].map(String),
        ...["--seed", config.seed, "--lora.r", config.hidden_size, "--lora.lora_alpha", 2 * config.hidden_size].map(
          String,
        ),
        ...["--sam", own.sam, "--teacher", own.grounding_dino, "--method", own.method],
        ...(config.sources["learning_rate"] === "trainer" ? [] : ["--lr", String(config.learning_rate)]),
        ...(own.threads === undefined ? [] : ["--threads", String(own.threads)]),
        ...(isResumed ? ["--resume"] : []),
      ],
      specs: trainTeacherOptions,
    });
    const reports = new TrainerReports();
    const steps = new Map<string, number>();
    const rates: Record<string, number> = {};
    let loss: number | undefined;
    let results: Partial<Record<Teacher, TeacherResult>> = {};
    const output = jobOutput({
      log,
      event(event) {
        const { type, teacher, step, ...rest } = event as {
          type: string;
          teacher: Teacher;
          step?: number;
          steps?: number;
          loss?: number;
          lr?: number;
          losses?: Record<string, number>;
        };
        if (type === "start" && rest.steps !== undefined) steps.set(teacher, rest.steps);
        const total = steps.get(teacher);
        if (type !== "step" || step === undefined || total === undefined) return;
        loss = rest.loss;
        rates[teacher] = Math.max(rates[teacher] ?? 0, rest.lr ?? 0);
        // Both teachers share the bar; an epoch of the job is the same share of either.
        const share = (wanted.indexOf(teacher) + Math.min(1, step / total)) / wanted.length;
        const ticks = Math.round(share * config.epochs * TICKS);
        const epoch = Math.max(1, Math.ceil(ticks / TICKS));
        const within = ticks - (epoch - 1) * TICKS;
        reports.push(
          { phase: "training", epoch, step: within, steps: TICKS, metrics: finite({ loss: rest.loss ?? Number.NaN }) },
          step === 1 || within === TICKS ? { epoch, step } : null,
        );
      },
      result(result) {
        results = result as typeof results;
      },
    });
    yield* reports.follow(
      () => trainTeacher(resolved.values, output, { positional: [], signal, config: resolved }),
      saveCheckpoint,
    );
    if (signal.aborted) return { metrics: {}, metric_definition_id: null, split_hash: null };
    yield { phase: "saving" };
    const bases: Record<Teacher, string> = { sam: own.sam, grounding_dino: own.grounding_dino };
    const kept: string[] = [];
    for (const teacher of wanted) {
      kept.push(
        await keepTeacher({
          teacher,
          base: bases[teacher],
          run,
          outputDirectory,
          config: { ...own, ...config },
          results,
        }),
      );
    }
    await copyFile(join(run, "teacher_config.yaml"), join(outputDirectory, "teacher_config.yaml"));
    // Not in the root, where `metadata.json` is the version's manifest.
    await copyFile(join(run, "metadata.json"), join(outputDirectory, "teachers", "metadata.json"));
    return {
      metrics: teacherMetrics(results, loss),
      metric_definition_id: `teachers-val:${[...wanted].sort().join("+")}`,
      split_hash: splitHash,
      params: { learning_rate_used: rates, adapters: kept },
      parents: { teacher: wanted.map((teacher) => bases[teacher]).join(" + ") },
    };
  },
};

/** Puts a teacher's adapter into the version, for seg and as a PEFT folder. @returns the folder's name */
async function keepTeacher({
  teacher,
  base: name,
  run,
  outputDirectory,
  config,
  results,
}: {
  teacher: Teacher;
  base: string;
  run: string;
  outputDirectory: string;
  config: { readonly method: string; readonly datasets: readonly string[] };
  results: Partial<Record<Teacher, TeacherResult>>;
}): Promise<string> {
  const { folder: base, entry } = await resolveTeacherBase({ teacher, name });
  const { method } = config;
  const from = join(run, "teachers");
  const adapter = join(from, `${teacher}_lora`);
  const plain = (text: string) => text.replaceAll(/[^A-Za-z0-9._-]+/g, "-").slice(0, 100);
  const id = `finetuned-${plain(entry?.id ?? basename(name))}-${method}-${plain(config.datasets.join("+"))}`;
  const target = join(outputDirectory, id);
  const teachers = join(outputDirectory, "teachers");
  await mkdir(target, { recursive: true });
  await mkdir(join(teachers, `${teacher}_lora`), { recursive: true });
  for (const file of ADAPTER.filter((candidate) => existsSync(join(adapter, candidate)))) {
    await copyFile(join(adapter, file), join(target, file));
    await copyFile(join(adapter, file), join(teachers, `${teacher}_lora`, file));
  }
  await cp(join(base, "preprocessor_config.json"), join(target, "preprocessor_config.json"));
  await copyFile(join(from, `${teacher}_metrics.json`), join(teachers, `${teacher}_metrics.json`));
  // The run's record names the base relative to the run, which ends with the job.
  const record = JSON.parse(await readFile(join(from, `${teacher}.json`), "utf8")) as { base: string };
  const isEmbedded = record.base === EMBEDDED_SAM || record.base === EMBEDDED_GROUNDING_DINO;
  writeJson(join(teachers, `${teacher}.json`), { ...record, base: isEmbedded ? record.base : base });
  const licence = entry === null || entry.licence === "unknown" ? null : entry.licence;
  const files = await Promise.all(
    ADAPTER.slice(0, 2).map(async (file) => {
      const bytes = readFileSync(join(target, file));
      const digest = (algorithm: string) => createHash(algorithm).update(bytes).digest("hex");
      return { name: file, bytes: (await stat(join(target, file))).size, sha256: digest("sha256"), md5: digest("md5") };
    }),
  );
  const after = results[teacher]?.after;
  const scores = teacher === "sam" ? { mask_iou: after?.meanIou } : { map50: after?.mAP50, map50_95: after?.mAP };
  await writeFile(
    join(target, "README.md"),
    renderModelCard({
      name: id,
      summary: `${method} adapter of ${name}, adapted to ${config.datasets.join(", ")}.`,
      licence,
      library: "peft",
      tags: [teacher, method],
      datasets: config.datasets,
      baseModel: entry?.hf_id ?? name,
      baseModelRelation: "adapter",
      pipelineTag: teacher === "sam" ? "mask-generation" : "zero-shot-object-detection",
      parents: [{ id: name, licence }],
      files,
      usage: "```\nseg train-student --teacher-dir VERSION_FOLDER --data train.json --output student\n```",
      results: [
        {
          task: teacher === "sam" ? "mask-generation" : "object-detection",
          dataset: { type: "coco", name: config.datasets.join("+") },
          metrics: Object.entries(scores).map(([type, value]) => ({ type, value: value ?? Number.NaN })),
        },
      ],
    }),
  );
  return id;
}
