import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { createClassMapping, evaluate as evaluateCoco, instancesOf, mask } from "@seg/coco-dataset";
import { type OverlayInstance, renderOverlay } from "@seg/coco-dataset/preview";
import { evaluateStudent, type StudentEvaluation } from "@seg/distill";
import {
  type Accuracy,
  type BenchmarkReport,
  benchmark,
  type Certificate,
  tfliteContestant,
  writeBenchmark,
} from "@seg/export";
import { createDetector } from "@seg/export/runtime";
import { decodeImage, samMaskToImage } from "@seg/preprocess";
import {
  bitmapIou,
  type DetectorEvaluation,
  evaluateSam,
  predictInstanceMasks,
  type SamEvaluation,
  type SamItem,
  trivialMask,
} from "@seg/teachers";
import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { type LoadedSplit, loadSplit } from "../data.js";
import { startEngine } from "../engine.js";
import { CommandError } from "../errors.js";
import { writeFileAtomic, writeJson } from "../files.js";
import type { Output } from "../output.js";
import { foundInstances } from "../overlay/found-instances.js";
import { parseResultsCsv } from "../report/parse-results-csv.js";
import { renderReport } from "../report/render-report.js";
import type { BoxScore, MaskScore, ModelRow, ReportData } from "../report/report-data.js";
import { readStudentRecord, type StudentRecord } from "../student-record.js";
import { evaluateDetectorTeacher } from "../teacher/evaluate-detector.js";
import { loadAdaptedSam } from "../teacher/mask-teacher.js";

export const evaluateOptions: OptionSpecs = {
  student: { type: "string", required: true, help: "run directory of the student, with optimized/" },
  data: { type: "string", required: true, help: "held-out split (COCO .json)" },
  images: { type: "string", help: "folder of the images" },
  "teacher-dir": { type: "string", help: "experiment with adapted teachers, measured on the same split" },
  validation: { type: "string", help: "validation.json of seg validate, for the report [beside --data]" },
  output: {
    type: "string",
    help: "folder of report.json and report.html [--teacher-dir or --student]",
    aliases: ["output-dir"],
  },
  title: { type: "string", fallback: "Prompt-free student", help: "title of the report" },
  overlays: { type: "number", range: { integer: true, min: 0 }, fallback: 6, help: "pictures in the report" },
  rounds: {
    type: "number",
    range: { integer: true, min: 20 },
    fallback: 30,
    help: "interleaved timing rounds, at least 20",
  },
  threads: {
    type: "number",
    range: { integer: true, min: 1 },
    help: "threads of the engine [cores]; artefacts are timed with one",
  },
};

const read = <T>(path: string): T | null => (existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as T) : null);
const finite = (value: number | undefined): number | null =>
  value === undefined || !Number.isFinite(value) || value < 0 ? null : value;

/** What needs no network: mean IoU of the annotated masks with their own filled box, and with the ellipse inscribed in it. */
function trivialBaselines(split: LoadedSplit): { filledBox: number; ellipse: number } | null {
  const mapping = createClassMapping(split.dataset);
  const sums = { filledBox: 0, ellipse: 0 };
  let count = 0;
  for (const { id, width, height } of split.dataset.images) {
    for (const { box, mask: truth } of instancesOf(split.dataset, id, mapping)) {
      if (truth === undefined) continue;
      const pixels = mask.decode(truth);
      for (const kind of ["filledBox", "ellipse"] as const) {
        sums[kind] += bitmapIou(trivialMask({ kind, box, width, height }), pixels);
      }
      count++;
    }
  }
  return count === 0 ? null : { filledBox: sums.filledBox / count, ellipse: sums.ellipse / count };
}

/** The adapted SAM on the split, prompted with the annotated boxes; mask AP takes its own IoU estimate as score. */
async function evaluateTeacher({
  split,
  experiment,
  output,
}: {
  split: LoadedSplit;
  experiment: string;
  output: Output;
}) {
  const loaded = await loadAdaptedSam(experiment);
  if (loaded === null) return null;
  const { sam, zoom, sizeBytes, record } = loaded;
  try {
    const mapping = createClassMapping(split.dataset);
    const items: SamItem[] = [];
    const detections = [];
    const milliseconds: number[] = [];
    for (const [i, image] of split.dataset.images.entries()) {
      const instances = instancesOf(split.dataset, image.id, mapping).filter((o) => o.mask !== undefined);
      output.progress({ label: "teacher", done: i + 1, total: split.dataset.images.length });
      if (instances.length === 0) continue;
      const decoded = await decodeImage(join(split.imagesDir, image.file_name), {
        expectedSize: { width: image.width, height: image.height },
      });
      items.push({ image: decoded, instances });
      const start = performance.now();
      const { logits, side, iou, geometry } = await predictInstanceMasks({
        sam,
        image: decoded,
        boxes: instances.map((o) => o.box),
        zoom,
      });
      milliseconds.push(performance.now() - start);
      for (const [k, instance] of instances.entries()) {
        const pixels = Uint8Array.from(samMaskToImage(logits[k]!, side, geometry), (v) => (v > 0 ? 1 : 0));
        const rle = mask.encode(pixels, image.height, image.width);
        detections.push({
          image_id: image.id,
          category_id: mapping.classes[instance.classId]!.categoryId,
          score: iou[k]!,
          segmentation: { size: [image.height, image.width] as [number, number], counts: mask.toString(rle) },
        });
      }
    }
    if (items.length === 0) return null;
    const scores = await evaluateSam({ sam, items, zoom });
    const segm = evaluateCoco({ groundTruth: split.dataset, detections, iouType: "segm" });
    milliseconds.sort((a, b) => a - b);
    const at = (q: number) => milliseconds[Math.min(milliseconds.length - 1, Math.floor(q * milliseconds.length))]!;
    return {
      name: `${basename(record.base)} + LoRA`,
      sizeBytes,
      scores,
      segm,
      latencyMs: { p50: at(0.5), p95: at(0.95) },
    };
  } finally {
    sam.dispose();
  }
}

const maskScore = (evaluation: SamEvaluation, names: readonly string[]): MaskScore => ({
  meanIou: evaluation.meanIou,
  baselines: evaluation.baselines,
  perClass: evaluation.perClass.map(({ classId, meanIou, filledBox, ellipse, count }) => ({
    name: names[classId] ?? String(classId),
    iou: meanIou,
    filledBox,
    ellipse,
    count,
  })),
});

/** Box quality as the report shows it. */
function boxScore({ mAP50, mAP, perClass }: DetectorEvaluation, names: readonly string[]): BoxScore {
  return {
    map50: mAP50,
    map: mAP,
    perClass: perClass.map(({ classId, ap50, ap, instances }) => ({
      name: names[classId] ?? `class ${classId}`,
      ap50,
      ap,
      count: instances,
    })),
  };
}

function studentRow({
  name,
  kind,
  evaluation,
  bench,
}: {
  name: string;
  kind: "student-fp32" | "student-int8";
  evaluation: StudentEvaluation;
  bench: BenchmarkReport["rows"][number];
}): ModelRow {
  const m = evaluation.metrics;
  const masks = new Map(evaluation.segm?.perClass.map((c) => [c.categoryId, c]) ?? []);
  return {
    name,
    kind,
    prompts: "none",
    box: { map50: m["mAP50"]!, map: m["mAP50-95"]! },
    mask: m["mask_mAP50"] === undefined ? null : { map50: m["mask_mAP50"], map: m["mask_mAP50-95"]! },
    maskIou: finite(m["mask_IoU"]),
    sizeBytes: bench.bytes,
    latencyMs: { p50: bench.medianMs, p95: bench.p95Ms },
    fps: bench.fps,
    peakMemoryBytes: bench.peakRssBytes,
    perClass: evaluation.bbox.perClass.map((c) => ({
      name: c.name,
      boxAp50: finite(c.ap50),
      boxAp: finite(c.ap),
      maskAp50: finite(masks.get(c.categoryId)?.ap50),
      maskAp: finite(masks.get(c.categoryId)?.ap),
    })),
    verdict: bench.verdict,
  };
}

/** Masks where the student has them, else boxes: what a teacher of the same task is compared by. */
function accuracyOf({ metrics }: StudentEvaluation): Accuracy {
  return metrics["mask_mAP50"] === undefined
    ? { map50: metrics["mAP50"]!, map: metrics["mAP50-95"]! }
    : { map50: metrics["mask_mAP50"], map: metrics["mask_mAP50-95"]! };
}

/** Largest loss of mAP50-95 that an artefact may have against fp32. */
const ACCURACY_GATE = 0.03;

/** A fast artefact that lost too much is not called optimised. */
function rejectInaccurate(row: ModelRow, reference: ModelRow): void {
  const lost = Math.max(
    (reference.box?.map ?? 0) - (row.box?.map ?? 0),
    (reference.mask?.map ?? 0) - (row.mask?.map ?? 0),
  );
  if (lost > ACCURACY_GATE) row.verdict = `rejected: loses ${lost.toFixed(3)} mAP50-95, gate ${ACCURACY_GATE}`;
}

/** Annotated objects and what the student finds, one pair per picture, and the licence that the model carries. */
async function overlays({
  split,
  model,
  name,
  count,
  record,
}: {
  split: LoadedSplit;
  model: string;
  /** Name of the model in the captions. */
  name: string;
  count: number;
  record: StudentRecord;
}) {
  const mapping = { classes: record.classes };
  const pictures: ReportData["overlays"] = [];
  const detector = await createDetector({ model, classes: mapping });
  const licence = detector.metadata.raw["license"] ?? "not stated in the model";
  try {
    const withObjects = split.dataset.images.filter((i) => instancesOf(split.dataset, i.id, mapping).length > 0);
    const step = Math.max(1, Math.floor(withObjects.length / Math.max(count, 1)));
    for (const image of withObjects.filter((_, i) => i % step === 0).slice(0, count)) {
      const decoded = await decodeImage(join(split.imagesDir, image.file_name), {
        expectedSize: { width: image.width, height: image.height },
      });
      const truth = instancesOf(split.dataset, image.id, mapping).map((o) => ({
        ...o,
        name: record.classes[o.classId]!.name,
      }));
      const predicted = foundInstances(await detector.predict(decoded));
      const render = (instances: readonly OverlayInstance[]) =>
        renderOverlay({ image: decoded, instances, format: "jpeg" });
      pictures.push(
        {
          title: image.file_name,
          caption: `annotated: ${truth.length} objects`,
          image: await render(truth),
          mime: "image/jpeg",
        },
        {
          title: image.file_name,
          caption: `${name}: ${predicted.length} objects, no prompt`,
          image: await render(predicted),
          mime: "image/jpeg",
        },
      );
    }
  } finally {
    await detector.dispose();
  }
  return { pictures, licence };
}

const percent = (value: number | null | undefined) => (value === null || value === undefined ? "-" : value.toFixed(3));

/** Measures teacher, student fp32 and student INT8 on a held-out split; writes report.json and report.html. */
export async function evaluate(options: OptionValues, output: Output, { signal }: CommandContext): Promise<void> {
  const directory = options["student"] as string;
  const record = readStudentRecord(directory);
  const artefacts = [
    {
      name: "student fp32",
      kind: "student-fp32" as const,
      precision: "fp32" as const,
      path: join(directory, "optimized", "model_fp32.onnx"),
    },
    {
      name: "student INT8",
      kind: "student-int8" as const,
      precision: "int8" as const,
      path: join(directory, "optimized", "model_int8.onnx"),
    },
  ].filter((a) => existsSync(a.path));
  if (artefacts.length === 0) {
    throw new CommandError({
      code: "cli/artefacts-not-found",
      message: `${directory}/optimized holds no model. Run seg optimize --model ${directory} first.`,
    });
  }
  const split = await loadSplit(options["data"] as string, options["images"] as string | undefined);
  const engine = await startEngine({ threads: options["threads"] as number | undefined });
  const experiment = options["teacher-dir"] as string | undefined;
  const target = (options["output"] as string | undefined) ?? experiment ?? directory;
  const mapping = { classes: record.classes };
  const names = record.classes.map((c) => c.name);

  const evaluations: StudentEvaluation[] = [];
  for (const { path, name } of artefacts) {
    signal.throwIfAborted();
    const start = performance.now();
    evaluations.push(
      await evaluateStudent({
        model: path,
        threads: engine.threads,
        dataset: split.dataset,
        imagesDir: split.imagesDir,
        mapping,
        imgsz: record.imgsz,
        split: "test",
      }),
    );
    output.event({ type: "evaluated", model: name, seconds: (performance.now() - start) / 1000 });
  }
  // Timed beside the others where its runtime is installed, and named as not measured elsewhere.
  const tflite = join(directory, "optimized", "model_int8.tflite");
  const contestants = existsSync(tflite)
    ? [tfliteContestant({ name: "student TFLite INT8", path: tflite, precision: "int8" })]
    : [];
  const measured = artefacts.map((artefact, i) => ({ ...artefact, accuracy: accuracyOf(evaluations[i]!) }));
  const bench = await benchmark([...measured, ...contestants], {
    imgsz: record.imgsz,
    rounds: options["rounds"] as number,
    threads: 1,
  });
  const teacher = experiment === undefined ? null : await evaluateTeacher({ split, experiment, output });
  const detector =
    experiment === undefined ? null : await evaluateDetectorTeacher({ split, experiment, output, signal });

  const baselines = evaluations.some((e) => e.segm !== null) || teacher !== null ? trivialBaselines(split) : null;
  const rows: ModelRow[] = artefacts.map(({ name, kind }, i) => ({
    maskBaselines: baselines,
    ...studentRow({ name, kind, evaluation: evaluations[i]!, bench: bench.rows.find((r) => r.artefact === name)! }),
  }));
  for (const row of rows) rejectInaccurate(row, rows[0]!);
  if (teacher !== null) {
    // -1 means that the split has no object to judge.
    const stat = (key: string) => teacher.segm.stats[teacher.segm.names.indexOf(key)] ?? -1;
    rows.unshift({
      name: teacher.name,
      kind: "teacher",
      prompts: "annotated boxes and classes",
      box: null,
      mask: { map50: stat("AP50"), map: stat("AP") },
      maskBaselines: baselines,
      maskIou: teacher.scores.meanIou,
      sizeBytes: teacher.sizeBytes,
      latencyMs: teacher.latencyMs,
      fps: 1000 / teacher.latencyMs.p50,
      peakMemoryBytes: null,
    });
  }
  if (detector !== null) {
    // Behind the mask teacher, which the students are compared with.
    rows.splice(teacher === null ? 0 : 1, 0, {
      name: `${detector.base} + LoRA`,
      kind: "teacher",
      prompts: "class names",
      box: { map50: detector.after.mAP50, map: detector.after.mAP },
      mask: null,
      maskIou: null,
      sizeBytes: detector.sizeBytes,
      latencyMs: null,
      fps: null,
      peakMemoryBytes: null,
      perClass: boxScore(detector.after, names).perClass.map(({ name, ap50, ap }) => ({
        name,
        boxAp50: ap50,
        boxAp: ap,
        maskAp50: null,
        maskAp: null,
      })),
    });
  }
  const certificate = read<{ promptFree: boolean; artefacts: Certificate[] }>(
    join(directory, "optimized", "certificate.json"),
  );
  const metrics =
    experiment === undefined
      ? null
      : read<{
          base: string;
          trainableShare: number;
          before: SamEvaluation | null;
          after: SamEvaluation | null;
          curve: { step: number; loss: number }[];
        }>(join(experiment, "teachers", "sam_metrics.json"));
  const detectorMetrics =
    experiment === undefined
      ? null
      : read<{ trainableShare: number; curve: { step: number; loss: number }[] }>(
          join(experiment, "teachers", "grounding_dino_metrics.json"),
        );
  const validation = read<{
    findings: { severity: "error" | "warn" | "info"; code: string; message: string; count: number }[];
  }>(
    (options["validation"] as string | undefined) ??
      join(dirname(resolve(options["data"] as string)), "validation.json"),
  );
  const curves = parseResultsCsv(readFileSync(join(directory, "results.csv"), "utf8"));
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
  const order = ["train", "val", "test"].filter((n) => splitFiles[n] !== undefined);
  const count = (name: string, categoryId: number) =>
    splitFiles[name]!.dataset.annotations.filter((a) => a.category_id === categoryId).length;
  const notMeasured = [
    ...bench.notMeasured,
    "peak memory of the teacher",
    "TensorRT engines (built and timed on the target by trtexec)",
    ...(contestants.length === 0 ? ["TFLite: seg optimize wrote no model_int8.tflite"] : []),
  ];
  const last = artefacts.at(-1)!;
  const drawn = await overlays({
    split,
    model: last.path,
    name: last.name,
    count: options["overlays"] as number,
    record,
  });
  const data: ReportData = {
    title: options["title"] as string,
    subtitle: `${record.student} at ${record.imgsz} px, ${record.epochs} epochs, ${split.dataset.images.length} held-out images`,
    seed: record.seed,
    decisions: [
      { what: "student", choice: record.student, reason: record.decision.join("; ") },
      {
        what: "mask teacher",
        choice: record.teacher?.id ?? "none",
        reason:
          record.teacher === null
            ? "no adapted mask teacher: labels alone"
            : "masks are annotated: SAM adapted with LoRA supplies soft mask targets",
      },
    ],
    dataset: {
      images: order.reduce((n, name) => n + splitFiles[name]!.dataset.images.length, 0),
      annotations: order.reduce((n, name) => n + splitFiles[name]!.dataset.annotations.length, 0),
      classes: record.classes.map((c) => ({
        index: c.index,
        name: c.name,
        counts: Object.fromEntries(order.map((name) => [name, count(name, c.categoryId)])),
      })),
      splits: Object.fromEntries(order.map((name) => [name, splitFiles[name]!.dataset.images.length])),
      findings:
        validation?.findings.map(({ severity, code, message, count: n }) => ({ severity, code, message, count: n })) ??
        [],
      generated: {
        boxes: order.reduce((n, name) => n + splitFiles[name]!.inspection.boxesGenerated, 0),
        areas: order.reduce((n, name) => n + splitFiles[name]!.inspection.areasGenerated, 0),
      },
    },
    curves,
    teacher:
      metrics?.before && metrics.after
        ? {
            name: metrics.base,
            adapter: join(experiment!, "teachers", "sam_lora"),
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
            adapter: join(experiment!, "teachers", "grounding_dino_lora"),
            trainableShare: detectorMetrics?.trainableShare ?? 0,
            before: boxScore(detector.before, names),
            after: boxScore(detector.after, names),
            curve: detectorMetrics?.curve ?? [],
          },
    models: rows,
    certificate:
      certificate === null
        ? null
        : {
            promptFree: certificate.promptFree,
            modelSha256: certificate.artefacts.at(-1)?.fileSha256 ?? "",
            checks: certificate.artefacts.map((c) => ({
              name: c.file,
              passed: c.promptFree,
              detail: `one input "images"; ${c.behaviour.length} inputs run twice, bit-identical, finite, class ids below ${c.numClasses}`,
            })),
          },
    overlays: drawn.pictures,
    environment: {
      device: bench.device,
      runtime: `${engine.name} ${engine.version}`,
      node: process.version,
      "threads (timing)": String(bench.threads),
      "load average (before, after timing)": bench.loadAverage.map((v) => v.toFixed(2)).join(", "),
    },
    notMeasured,
    licences: [{ what: "student weights", licence: drawn.licence }],
  };
  writeFileAtomic(join(target, "report.html"), renderReport(data));
  const { overlays: pictures, ...plain } = data;
  writeJson(join(target, "report.json"), {
    version: 1,
    ...plain,
    overlays: pictures.map(({ title, caption }) => ({ title, caption })),
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
  writeBenchmark(join(directory, "optimized"), { ...bench, references });

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
