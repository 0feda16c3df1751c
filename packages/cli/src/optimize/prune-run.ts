import { existsSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import {
  createStudent,
  evaluateStudent,
  loadEvaluationSet,
  loadWeights,
  type Student,
  studentPredictor,
  type TrainStudentConfig,
  trainStudent,
} from "@seg/distill";
import { type PruneReport, type PruneResult, pruneAndFineTune, pruneStudent } from "@seg/export";
import { readSafetensors, writeSafetensors } from "@seg/nn";
import { parse } from "yaml";
import { loadSplit } from "../data.js";
import { CommandError } from "../errors.js";
import { writeJson } from "../files.js";
import type { Output } from "../output.js";
import { type StudentRecord, studentRecordFile } from "../student-record.js";
import { followTraining } from "../training-output.js";

/** What `pruned.json` records. */
export interface PruneRecord {
  readonly version: 1;
  /** Share of the channels that was asked for. */
  readonly ratio: number;
  readonly epochs: number;
  /** Mean mAP50 of boxes and, where there are any, masks, on the validation split. */
  readonly scoreBefore: number;
  readonly scoreAfter: number;
  /** Multiply-accumulates left; FLOPs shrink alike. */
  readonly macsRatio: number;
  readonly rounds: readonly { readonly ratio: number; readonly score: number; readonly report: PruneReport }[];
}

export interface PruneRunOptions {
  /** Run directory of the student. */
  readonly directory: string;
  readonly record: StudentRecord;
  readonly ratio: number;
  /** Epochs of fine-tuning in each round; 0 leaves the pruned weights as they are. */
  readonly epochs: number;
  readonly rounds: number;
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** mAP50 of boxes, or the mean of boxes and masks. */
function scoreOf(metrics: Readonly<Record<string, number>>): number {
  const { mAP50 = Number.NaN, mask_mAP50: masks } = metrics;
  return masks === undefined ? mAP50 : (mAP50 + masks) / 2;
}

/** Settings of the first training that fine-tuning repeats: same loss, same augmentation, same batch. */
function trainingSettings(directory: string): Partial<TrainStudentConfig> {
  const file = join(directory, "args.yaml");
  const args = existsSync(file) ? (parse(readFileSync(file, "utf8")) as Partial<TrainStudentConfig>) : {};
  const { batch, seed, bnMomentum, augment, gains, smallBoxExpand } = args;
  return JSON.parse(JSON.stringify({ batch, seed, bnMomentum, augment, gains, smallBoxExpand }));
}

/**
 * Prunes a trained student, fine-tunes it on its own training split and stores the narrower one as a student of its own in `MODEL/pruned`, with
 * its widths in `student.json`. An interrupted run goes on where it stopped.
 *
 * @returns the folder of the pruned student
 * @throws {@link CommandError} `cli/no-validation-split`; ExportError `PRUNE_CONFIG`, `GATE_FAILED`
 */
export async function pruneRun({
  directory,
  record,
  ratio,
  epochs,
  rounds,
  output,
  signal,
}: PruneRunOptions): Promise<{ directory: string; record: StudentRecord }> {
  if (record.val === null) {
    throw new CommandError({
      code: "cli/no-validation-split",
      message: `The student in ${directory} was trained without a validation split, so a loss through pruning could not be seen. Train it with --val.`,
    });
  }
  const target = join(directory, "pruned");
  const load = ({ data, images }: { data: string; images: string }) =>
    loadSplit(resolve(directory, data), resolve(directory, images), { onBadImage: "skip" });
  const [train, val] = [await load(record.train), await load(record.val)];
  const { student: id, imgsz, seed } = record;
  const mapping = { classes: record.classes };
  const build = (widths: StudentRecord["widths"]): Student =>
    createStudent(id, { classes: record.classes.length, imgsz, seed, ...(widths ? { widths } : {}) });
  const score = async (student: Student): Promise<number> => {
    student.net.train(false);
    const { dataset, imagesDir } = val;
    const set = await loadEvaluationSet({ dataset, imagesDir, mapping, imgsz, onBadImage: "skip", signal });
    return scoreOf((await evaluateStudent({ predictor: studentPredictor(student), set, batch: 8, signal })).metrics);
  };

  const weightsOf = (folder: string) => readSafetensors(join(folder, "weights", "student.safetensors")).toStateDict();
  const weights = weightsOf(directory);
  const widths = record.widths ?? {};
  const source = build(widths);
  loadWeights(source, weights, { strict: true });
  const before = await score(source);
  source.dispose();
  output.line(
    `prune       ${id}: mAP50 ${before.toFixed(3)} before, removing ${(100 * ratio).toFixed(0)} % of the channels`,
  );

  const settings = trainingSettings(directory);
  const result: PruneResult = await pruneAndFineTune({
    weights,
    widths,
    ratio,
    rounds,
    score: before,
    signal,
    prune: (round) => {
      const student = build(round.widths);
      try {
        loadWeights(student, round.weights, { strict: true });
        const { net: model, deploy } = student;
        return pruneStudent({ model, deploy, imgsz, prune: { ratio: round.ratio } });
      } finally {
        student.dispose();
      }
    },
    fineTune: async ({ round, weights: pruned, widths: narrow, report }) => {
      output.line(
        `prune       round ${round + 1} of ${rounds}: ${(report.macsAfter / report.macsBefore).toFixed(3)} x the multiply-accumulates, ` +
          `${(report.parametersAfter / report.parametersBefore).toFixed(3)} x the parameters`,
      );
      const folder = round === rounds - 1 ? target : join(target, `round-${round}`);
      if (epochs === 0) {
        output.line("warning: no fine-tuning; expect a large loss of accuracy");
        const student = build(narrow);
        loadWeights(student, pruned, { strict: true });
        const after = await score(student);
        student.dispose();
        return { weights: pruned, widths: narrow, score: after };
      }
      const fitted = await followTraining(
        trainStudent(
          {
            ...settings,
            student: id,
            train: { dataset: train.dataset, imagesDir: train.imagesDir },
            val: { dataset: val.dataset, imagesDir: val.imagesDir },
            directory: folder,
            mapping,
            imgsz,
            epochs,
            weights: pruned,
            widths: narrow,
            // Trained weights need no long rise of the learning rate.
            warmupEpochs: Math.min(1, epochs / 4),
            evaluation: { interval: Math.max(1, Math.ceil(epochs / 4)) },
            checkpoint: { early_stopping: { enabled: false } },
            onBadImage: "skip",
            resume: existsSync(folder),
          },
          { signal },
        ),
        {
          output,
          label: `pruned ${id}`,
          stepsPerEpoch: Math.ceil(train.dataset.images.length / (settings.batch ?? 16)),
        },
      );
      // A stopped training is saved, but not a student yet.
      signal.throwIfAborted();
      return { weights: weightsOf(folder), widths: narrow, score: scoreOf(fitted.metrics ?? {}) };
    },
  });

  const macsRatio = result.rounds.reduce((share, { report }) => (share * report.macsAfter) / report.macsBefore, 1);
  const pruneRecord: PruneRecord = {
    version: 1,
    ratio,
    epochs,
    scoreBefore: before,
    scoreAfter: result.score,
    macsRatio,
    rounds: result.rounds,
  };
  if (epochs === 0) writeSafetensors(join(target, "weights", "student.safetensors"), result.weights);
  writeJson(join(target, "pruned.json"), pruneRecord);
  const rebased = (entry: { data: string; images: string }) => ({
    data: relative(target, resolve(directory, entry.data)),
    images: relative(target, resolve(directory, entry.images)),
  });
  const next: StudentRecord = {
    ...record,
    epochs: record.epochs + rounds * epochs,
    decision: [
      ...record.decision,
      `pruned to ${macsRatio.toFixed(2)} x the multiply-accumulates, fine-tuned on the labels`,
    ],
    train: rebased(record.train),
    val: rebased(record.val),
    widths: result.widths,
  };
  writeJson(studentRecordFile(target), next);
  output.line(
    `prune       mAP50 ${before.toFixed(3)} -> ${result.score.toFixed(3)}, ${macsRatio.toFixed(3)} x the multiply-accumulates; ${target}`,
  );
  return { directory: target, record: next };
}
