import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { confusionMatrix } from "@seg/coco-dataset";
import { evaluateStudent, loadEvaluationSet, type StudentEvaluation, sessionPredictor } from "@seg/distill";
import { benchmark, type Certificate, writeBenchmark } from "@seg/export";
import { readMetadata } from "@seg/export/runtime";
import { decodeModel } from "@seg/onnx";
import type { SamEvaluation } from "@seg/teachers";
import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { type LoadedSplit, loadSplit } from "../data.js";
import { reportDryRun } from "../dry-run.js";
import { startEngine } from "../engine.js";
import { CommandError } from "../errors.js";
import { certificateFacts } from "../evaluate/certificate.js";
import { comparisonsOf } from "../evaluate/comparisons.js";
import { type DrawnModel, drawnPictures } from "../evaluate/drawn-pictures.js";
import { environmentOf } from "../evaluate/environment.js";
import { lostPictures } from "../evaluate/lost-pictures.js";
import { maskTeacherOnSplit } from "../evaluate/mask-teacher-on-split.js";
import { measuredOn } from "../evaluate/measured-on.js";
import {
  accuracyOf,
  boxScore,
  detectorRow,
  judgeDetector,
  maskScore,
  maskTeacherRow,
  rejectInaccurate,
  studentRow,
} from "../evaluate/model-rows.js";
import { studentArtefacts } from "../evaluate/student-artefacts.js";
import { trivialBaselines } from "../evaluate/trivial-baselines.js";
import { configOption, dryRunOption, grouped, HOW } from "../option-specs.js";
import type { Output } from "../output.js";
import { decisionFacts, type SplitRecord, type TeacherDecisions } from "../report/measure/decision-facts.js";
import { evaluationCurves } from "../report/measure/evaluation-curves.js";
import { imageScores } from "../report/measure/image-scores.js";
import { int8Facts, type OptimizeRecord } from "../report/measure/int8-facts.js";
import { dataLicences, dependencyLicences, modelLicence } from "../report/measure/licence-facts.js";
import { matchedObjects } from "../report/measure/matched-objects.js";
import { parseResultsCsv } from "../report/parse-results-csv.js";
import type { EvaluationCurves, ModelRow, ReportData } from "../report/report-data.js";
import { splitName } from "../report/split-name.js";
import { writeReport } from "../report/write-report.js";
import { readStudentRecord } from "../student-record.js";
import { evaluateDetectorTeacher } from "../teacher/evaluate-detector.js";

export const evaluateOptions: OptionSpecs = {
  ...grouped("What to measure", {
    student: { type: "string", path: "folder", required: true, help: "run directory of the student, with optimized/" },
    data: { type: "string", path: "file", required: true, help: "held-out split (COCO .json)" },
    images: { type: "string", path: "folder", help: "folder of the images" },
    "teacher-dir": {
      type: "string",
      path: "folder",
      help: "experiment with adapted teachers, measured on the same split",
    },
    rounds: {
      type: "number",
      range: { integer: true, min: 20 },
      fallback: 30,
      help: "interleaved timing rounds, at least 20",
    },
  }),
  ...grouped("Report", {
    validation: {
      type: "string",
      path: "file",
      help: "validation.json of seg validate, for the report",
      usual: "beside --data",
    },
    output: {
      type: "string",
      path: "folder",
      help: "folder of report.json and report.html",
      usual: "--teacher-dir, else --student",
      aliases: ["output-dir"],
    },
    title: { type: "string", fallback: "Prompt-free student", help: "title of the report" },
    overlays: { type: "number", range: { integer: true, min: 0 }, fallback: 6, help: "pictures in the report" },
  }),
  threads: {
    type: "number",
    range: { integer: true, min: 1 },
    help: "threads of the engine; artefacts are timed with one",
    usual: "cores",
    group: HOW,
  },
  ...configOption,
  ...dryRunOption,
};

/** Lost objects of one comparison that are shown; report.json names up to 200. */
const MAX_LOST_PICTURES = 4;

const read = <T>(path: string): T | null => (existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as T) : null);

const percent = (value: number | null | undefined) => (value === null || value === undefined ? "-" : value.toFixed(3));

/** Boxes and masks of a student in one row each, to draw. */
function drawable({ detections, maskDetections }: StudentEvaluation): DrawnModel["detections"] {
  // Both lists are in the order of finding; a student with masks has one for every box.
  if (maskDetections.length !== detections.length) return detections;
  return detections.map((row, i) => ({ ...row, ...maskDetections[i] }));
}

/** Licence that an exported model states in its metadata. */
function exportedLicence(path: string): string {
  if (!path.endsWith(".onnx")) return "not stated in the file";
  return readMetadata(decodeModel(readFileSync(path))).raw["license"] ?? "not stated in the model";
}

/** Measures teacher, student fp32 and student INT8 on a held-out split; writes report.json and report.html. */
export async function evaluate(
  options: OptionValues,
  output: Output,
  { signal, config }: CommandContext,
): Promise<void> {
  const directory = options["student"] as string;
  const record = readStudentRecord(directory);
  const { artefacts, unavailable } = studentArtefacts(directory, record);
  if (artefacts.length === 0) {
    throw new CommandError({
      code: "cli/artefacts-not-found",
      message: `${directory} holds neither an exported model nor trained weights. Run seg train-student --output ${directory} --resume, then seg optimize --model ${directory}.`,
    });
  }
  const data = options["data"] as string;
  const split = await loadSplit(data, options["images"] as string | undefined);
  const experiment = options["teacher-dir"] as string | undefined;
  const target = (options["output"] as string | undefined) ?? experiment ?? directory;
  if (options["dry-run"] === true) {
    const images = split.dataset.images.length;
    return reportDryRun({
      ...{ command: "evaluate", config, output },
      plan: {
        decisions: artefacts.map(({ name, path }) => ({ what: "model", choice: name, why: path })),
        steps: [
          `measure ${artefacts.length} models on ${images} images`,
          ...(experiment === undefined ? [] : [`measure the teachers of ${experiment} on the same images`]),
          `time the models in ${options["rounds"]} interleaved rounds`,
        ],
        writes: [
          { path: join(directory, "optimized", "benchmark.json"), what: "times, sizes and memory" },
          { path: join(target, "report.json"), what: "everything that was measured" },
          { path: join(target, "report.html"), what: "the same as a page" },
        ],
      },
    });
  }
  const engine = await startEngine({ threads: options["threads"] as number | undefined });
  const mapping = { classes: record.classes };
  const names = record.classes.map((c) => c.name);

  // Decoded once for all students.
  const set = await loadEvaluationSet({
    dataset: split.dataset,
    imagesDir: split.imagesDir,
    mapping,
    imgsz: record.imgsz,
    split: "test",
    signal,
  });
  const evaluations: StudentEvaluation[] = [];
  for (const { path, name, open } of artefacts) {
    signal.throwIfAborted();
    const start = performance.now();
    const { threads } = engine;
    const session = await sessionPredictor(
      open === undefined ? { model: path, threads } : { session: await open(threads) },
    );
    let done = 0;
    const predictor: typeof session = {
      ...session,
      async run(...input) {
        const outputs = await session.run(...input);
        output.progress({ label: name, done: ++done, total: set.images.length });
        return outputs;
      },
    };
    try {
      evaluations.push(await evaluateStudent({ predictor, set, signal }));
    } finally {
      await session.dispose();
    }
    output.event({ type: "evaluated", model: name, seconds: (performance.now() - start) / 1000 });
  }
  const measured = artefacts.map((artefact, i) => ({ ...artefact, accuracy: accuracyOf(evaluations[i]!) }));
  output.line(`timing      ${measured.length + unavailable.length} models, ${options["rounds"]} rounds, one thread`);
  const bench = await benchmark([...measured, ...unavailable], {
    imgsz: record.imgsz,
    rounds: options["rounds"] as number,
    threads: 1,
    signal,
  });
  const teacher = experiment === undefined ? null : await maskTeacherOnSplit({ split, experiment, output, signal });
  const detector =
    experiment === undefined ? null : await evaluateDetectorTeacher({ split, experiment, output, signal });

  const baselines = evaluations.some((e) => e.segm !== null) || teacher !== null ? trivialBaselines(split) : null;
  const benchRow = (name: string) => bench.rows.find(({ artefact }) => artefact === name) ?? null;
  const students = artefacts.map(({ name, kind }, i) =>
    studentRow({ name, kind, evaluation: evaluations[i]!, bench: benchRow(name), baselines }),
  );
  for (const row of students) rejectInaccurate(row, students[0]!);
  const detectorBoxes = detector === null ? null : judgeDetector(detector, set.dataset);
  const detectorLine = detector === null ? null : detectorRow(detector, detectorBoxes!);
  // The mask teacher first: the students are compared with it.
  const rows: ModelRow[] = [
    ...(teacher === null ? [] : [maskTeacherRow(teacher, baselines)]),
    ...(detectorLine === null ? [] : [detectorLine]),
    ...students,
  ];

  // The last ONNX model is deployed; TFLite stands beside it.
  const last = Math.max(
    artefacts.findLastIndex(({ path }) => path.endsWith(".onnx")),
    0,
  );
  const shipped = { ...artefacts[last]!, evaluation: evaluations[last]! };
  const { operatingPoint, maskOperatingPoint, segm } = shipped.evaluation;
  const judged = segm !== null && maskOperatingPoint !== null ? segm : shipped.evaluation.bbox;
  const confidence = (judged === segm ? maskOperatingPoint! : operatingPoint).confidence;
  const curves: EvaluationCurves[] = [
    ...(detectorLine === null
      ? []
      : [evaluationCurves({ model: detectorLine.name, kind: "box", result: detectorBoxes! })]),
    ...evaluations.flatMap((evaluation, i) => [
      evaluationCurves({ model: artefacts[i]!.name, kind: "box", result: evaluation.bbox }),
      ...(evaluation.segm === null
        ? []
        : [evaluationCurves({ model: artefacts[i]!.name, kind: "mask", result: evaluation.segm })]),
    ]),
  ];
  const confusion = confusionMatrix({
    groundTruth: set.dataset,
    detections: shipped.evaluation.detections,
    scoreThreshold: operatingPoint.confidence,
    // As everything else in the report.
    iouThreshold: 0.5,
  });
  const comparisons = comparisonsOf({
    dataset: set.dataset,
    students: artefacts.slice(0, last + 1).map(({ name }, i) => ({ name, evaluation: evaluations[i]! })),
    detector:
      detectorLine === null
        ? null
        : { name: detectorLine.name, bbox: detectorBoxes!, confidence: detectorLine.operating!.confidence },
    maskTeacher: teacher,
  });
  const drawn: DrawnModel[] = [
    ...(teacher === null ? [] : [{ name: teacher.name, detections: teacher.detections, confidence: null }]),
    ...(detector === null
      ? []
      : [
          {
            name: detectorLine!.name,
            detections: detector.detections,
            confidence: detectorLine!.operating!.confidence,
          },
        ]),
    ...evaluations.map((evaluation, i) => ({
      name: artefacts[i]!.name,
      detections: drawable(evaluation),
      confidence: (evaluation.maskOperatingPoint ?? evaluation.operatingPoint).confidence,
    })),
  ];
  const shownModels = drawn.filter(
    ({ name }) => name === shipped.name || name === (detectorLine?.name ?? teacher?.name),
  );
  const count = options["overlays"] as number;
  const { dataset, imagesDir } = split;
  const pictures = [
    ...(await lostPictures({
      ...{ dataset: set.dataset, imagesDir, classes: record.classes, comparisons, signal },
      ...{ models: drawn, count: Math.min(count, MAX_LOST_PICTURES) },
    })),
    ...(await drawnPictures({
      ...{ dataset, imagesDir, classes: record.classes, count, models: shownModels, output, signal },
      scores: imageScores(matchedObjects(judged, confidence)),
    })),
  ];

  const certificate = read<{ promptFree: boolean; artefacts: Certificate[] }>(
    join(directory, "optimized", "certificate.json"),
  );
  const fromTeachers = <T>(file: string) =>
    experiment === undefined ? null : read<T>(join(experiment, "teachers", file));
  const metrics = fromTeachers<{
    base: string;
    trainableShare: number;
    before: SamEvaluation | null;
    after: SamEvaluation | null;
    curve: { step: number; loss: number }[];
  }>("sam_metrics.json");
  const detectorMetrics = fromTeachers<{ trainableShare: number; curve: { step: number; loss: number }[] }>(
    "grounding_dino_metrics.json",
  );
  const home = dirname(resolve(data));
  const validation = read<{ findings: ReportData["dataset"]["findings"] }>(
    (options["validation"] as string | undefined) ?? join(home, "validation.json"),
  );
  const splitRecord = read<SplitRecord>(join(home, "split.lock.json"));
  const splitFiles: Record<string, LoadedSplit> = { test: split };
  for (const [name, entry] of [
    ["train", record.train],
    ["val", record.val],
  ] as const) {
    if (entry === null) continue;
    const path = resolve(directory, entry.data);
    if (existsSync(path))
      splitFiles[name] = await loadSplit(path, resolve(directory, entry.images), { onBadImage: "skip" });
  }
  const on = measuredOn({
    split,
    train: splitFiles["train"] ?? null,
    val: record.val === null ? "none" : (splitFiles["val"] ?? null),
  });
  if ((on.trainedOn ?? 0) > 0) {
    output.line(
      `warning: the student was trained on ${on.trainedOn} of these ${on.images} images, so that every figure is too good; give --data images it has not seen`,
    );
  }
  const order = ["train", "val", "test"].filter((n) => splitFiles[n] !== undefined);
  const objects = (name: string, categoryId: number) =>
    splitFiles[name]!.dataset.annotations.filter((a) => a.category_id === categoryId).length;
  const total = (of: (entry: LoadedSplit) => number) => order.reduce((n, name) => n + of(splitFiles[name]!), 0);
  const int8 = int8Facts({
    record: read<OptimizeRecord>(join(directory, "optimized", "optimize.json")),
    certificate: certificate?.artefacts.find(({ file }) => file === "model_int8.onnx") ?? null,
    row: benchRow("student INT8"),
  });
  const report: ReportData = {
    title: options["title"] as string,
    subtitle: `${record.student} at ${record.imgsz} px, ${record.epochs} epochs, ${splitName(on)}`,
    seed: record.seed,
    measuredOn: on,
    decisions: decisionFacts({
      split: splitRecord,
      teachers: fromTeachers<TeacherDecisions>("decisions.json"),
      student: { id: record.student, reasons: record.decision, maskTeacher: record.teacher?.id ?? null },
      int8,
      rows,
    }),
    dataset: {
      images: total(({ dataset }) => dataset.images.length),
      annotations: total(({ dataset }) => dataset.annotations.length),
      classes: record.classes.map((c) => ({
        index: c.index,
        name: c.name,
        counts: Object.fromEntries(order.map((name) => [name, objects(name, c.categoryId)])),
      })),
      splits: Object.fromEntries(order.map((name) => [name, splitFiles[name]!.dataset.images.length])),
      findings:
        validation?.findings.map(({ severity, code, message, count: n }) => ({ severity, code, message, count: n })) ??
        [],
      generated: {
        boxes: total(({ inspection }) => inspection.boxesGenerated),
        areas: total(({ inspection }) => inspection.areasGenerated),
      },
    },
    curves: parseResultsCsv(readFileSync(join(directory, "results.csv"), "utf8")),
    teacher:
      metrics?.before && metrics.after
        ? {
            name: basename(metrics.base),
            adapter: "teachers/sam_lora",
            trainableShare: metrics.trainableShare,
            before: maskScore(metrics.before, names),
            after: maskScore(metrics.after, names),
            curve: metrics.curve,
          }
        : null,
    detector:
      detector === null
        ? null
        : {
            name: detector.base,
            adapter: "teachers/grounding_dino_lora",
            trainableShare: detectorMetrics?.trainableShare ?? 0,
            before: boxScore(detector.before, names),
            after: boxScore(detector.after, names),
            curve: detectorMetrics?.curve ?? [],
          },
    models: rows,
    evaluation: curves,
    confusion: {
      model: shipped.name,
      confidence: confusion.scoreThreshold,
      iou: confusion.iouThreshold,
      names: [...confusion.names],
      counts: confusion.counts.map((line) => [...line]),
    },
    comparisons,
    int8,
    certificate: certificateFacts(certificate),
    overlays: pictures,
    environment: environmentOf({ engine, bench, record, splitSeed: splitRecord?.seed ?? null, data }),
    notMeasured: [
      ...bench.notMeasured,
      "TensorRT engines (built and timed on the target by trtexec)",
      ...(existsSync(join(directory, "optimized", "model_int8.tflite"))
        ? []
        : ["TFLite: seg optimize wrote no model_int8.tflite"]),
      ...bench.unavailable.map(({ artefact, reason }) => `${artefact}: ${reason}`),
    ],
    licences: [
      {
        what: "student weights",
        licence: exportedLicence(shipped.path),
        source: shipped.path.endsWith(".onnx") ? `metadata of ${basename(shipped.path)}` : basename(shipped.path),
      },
      ...(detector === null ? [] : [modelLicence({ what: `teacher ${detector.base}`, folder: detector.folder })]),
      ...(teacher === null ? [] : [modelLicence({ what: `teacher ${teacher.base}`, folder: teacher.folder })]),
      ...order.flatMap((name) => dataLicences({ what: `${name} split`, dataset: splitFiles[name]!.dataset })),
      ...dependencyLicences(),
    ],
  };
  writeReport(target, report, {
    teacherOnTest: teacher && maskScore(teacher.scores, names),
    detectorOnTest: detector && { before: boxScore(detector.before, names), after: boxScore(detector.after, names) },
    metrics: Object.fromEntries(artefacts.map((a, i) => [a.name, evaluations[i]!.metrics])),
    promptFree: certificate?.promptFree ?? null,
  });
  const references = rows
    .filter(({ kind }) => kind === "teacher")
    .map(({ name, box, mask, sizeBytes, latencyMs }) => ({
      name,
      bytes: sizeBytes,
      medianMs: latencyMs?.p50 ?? null,
      accuracy: mask ?? box,
    }));
  // A checkpoint is no artefact of seg optimize: its times stay in the report.
  if (existsSync(join(directory, "optimized"))) writeBenchmark(join(directory, "optimized"), { ...bench, references });

  for (const row of rows) {
    output.line(
      `${row.name.padEnd(28)} box ${percent(row.box?.map50)} / ${percent(row.box?.map)}  mask ${percent(row.mask?.map50)} / ${percent(row.mask?.map)}  mask IoU ${percent(row.maskIou)}  ` +
        `${row.sizeBytes === null ? "-" : `${(row.sizeBytes / 1e6).toFixed(2)} MB`}  ${row.latencyMs === null ? "-" : `${row.latencyMs.p50.toFixed(1)} ms`}  ${row.verdict ?? ""}`,
    );
  }
  if (baselines !== null) {
    output.line(
      `mask IoU without any network: filled box ${baselines.filledBox.toFixed(3)}, ellipse in the box ${baselines.ellipse.toFixed(3)}`,
    );
  }
  output.line(`report      ${join(target, "report.html")}`);
  output.result({
    command: "evaluate",
    models: rows,
    promptFree: certificate?.promptFree ?? null,
    report: join(target, "report.json"),
  });
}
