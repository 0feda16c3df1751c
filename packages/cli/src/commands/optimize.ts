import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type CocoDataset, loadDataset } from "@seg/coco-dataset";
import { createStudent, isMaskStudent, loadWeights } from "@seg/distill";
import {
  type CalibrationMethod,
  calibrate,
  certifyPromptFree,
  exportOnnx,
  findTrtexec,
  quantizeStatic,
  traceStudent,
  verifyExport,
  writeArtefacts,
  writeCertificates,
} from "@seg/export";
import { decodeModel, encodeModel } from "@seg/onnx";
import { decodeImage, PreprocessError, prepareYolo } from "@seg/preprocess";
import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { type DryRun, reportDryRun } from "../dry-run.js";
import { checkGpu, startEngine } from "../engine.js";
import { CommandError } from "../errors.js";
import { imagesDirectory, writeJson } from "../files.js";
import { type Int8Record, onnxArtefacts, QUANTIZE_MODES, type QuantizeMode } from "../optimize/onnx-artefacts.js";
import { pruneRun } from "../optimize/prune-run.js";
import { tensorRtEngine } from "../optimize/tensorrt-engine.js";
import { type ArtefactPrecision, tfliteArtefacts } from "../optimize/tflite-artefacts.js";
import { validationSet } from "../optimize/validation-set.js";
import { configOption, dryRunOption, engineOptions, grouped } from "../option-specs.js";
import type { Output } from "../output.js";
import { readStudentRecord, type StudentRecord } from "../student-record.js";

const FORMATS = ["onnx", "tensorrt", "tflite"] as const;
const CALIBRATION_METHODS = ["minmax", "percentile", "entropy", "mse"] as const satisfies readonly CalibrationMethod[];

export const optimizeOptions: OptionSpecs = {
  ...grouped("What to make", {
    model: { type: "string", path: "folder", required: true, help: "run directory of the student" },
    format: {
      type: "list",
      choices: FORMATS,
      help: "onnx, tensorrt, tflite; the float32 ONNX file is always written",
      usual: "onnx",
    },
    quantize: {
      type: "string",
      fallback: "int8",
      choices: QUANTIZE_MODES,
      help: "int8, fp16, dynamic (size only) or none",
    },
    "max-map-drop": {
      type: "number",
      range: { min: 0, max: 1 },
      fallback: 0.03,
      help: "largest loss of mAP50-95 of INT8 on the validation split; the worst layers stay float until it holds",
    },
    "end-to-end": {
      type: "boolean",
      fallback: false,
      help: "also write model_e2e.onnx with suppression and masks inside",
    },
    license: { type: "string", fallback: "Apache-2.0", help: "licence of the weights" },
    author: { type: "string", fallback: "seg", help: "who made the model" },
    output: {
      type: "string",
      path: "folder",
      help: "folder of the artefacts",
      usual: "MODEL/optimized",
      aliases: ["output-dir"],
    },
  }),
  ...grouped("Calibration", {
    data: { type: "string", path: "file", help: "calibration images (COCO .json)", usual: "the training split" },
    images: { type: "string", path: "folder", help: "folder of the calibration images" },
    "calibration-images": {
      type: "number",
      range: { integer: true, min: 1 },
      fallback: 128,
      help: "how many images calibrate",
    },
    "calibration-method": {
      type: "string",
      fallback: "minmax",
      choices: CALIBRATION_METHODS,
      help: "how ranges are taken",
    },
  }),
  ...grouped("Pruning", {
    prune: {
      type: "number",
      range: { above: 0, below: 1 },
      help: "share of the channels to remove before export",
      usual: "none",
    },
    "prune-epochs": {
      type: "number",
      range: { integer: true, min: 0 },
      fallback: 12,
      help: "epochs of fine-tuning after each round of pruning",
    },
    "prune-rounds": { type: "number", range: { integer: true, min: 1 }, fallback: 1, help: "rounds of pruning" },
  }),
  ...engineOptions,
  ...configOption,
  ...dryRunOption,
};

/** Evenly spaced items, so that a sorted data set is covered. */
function spread<T>(items: readonly T[], count: number): T[] {
  const n = Math.min(count, items.length);
  return Array.from({ length: n }, (_, i) => items[Math.floor((i * items.length) / n)]!);
}

/** @throws {@link CommandError} `cli/weights-not-found` */
function weightsOf(directory: string): string {
  const weights = join(directory, "weights", "student.safetensors");
  if (existsSync(weights)) return weights;
  throw new CommandError({
    code: "cli/weights-not-found",
    message: `${weights} was not found although ${directory} records a student. Restore it or train again.`,
  });
}

/**
 * Images for calibration: those that are given, or the student's own training split.
 * @throws {@link CommandError} `cli/calibration-data-not-found`, `cli/images-not-found`
 */
async function calibrationData({
  options,
  directory,
  record,
}: {
  options: OptionValues;
  directory: string;
  record: StudentRecord;
}): Promise<{ data: string; dataset: CocoDataset; imagesDir: string }> {
  const given = options["data"] as string | undefined;
  const data = given ?? resolve(directory, record.train.data);
  if (given === undefined && !existsSync(data)) {
    throw new CommandError({
      code: "cli/calibration-data-not-found",
      message: `The training split ${data} of this student was not found. Give images for calibration with --data and --images.`,
    });
  }
  const dataset = await loadDataset(data);
  const option =
    (options["images"] as string | undefined) ??
    (given === undefined ? resolve(directory, record.train.images) : undefined);
  return { data, dataset, imagesDir: await imagesDirectory({ dataset, path: data, option }) };
}

/** What `--dry-run` says. */
function planOf({
  options,
  formats,
  directory,
  record,
  images,
  data,
}: {
  options: OptionValues;
  formats: readonly string[];
  directory: string;
  record: StudentRecord;
  images: number;
  data: string;
}): DryRun {
  const quantize = options["quantize"] as QuantizeMode;
  const isPruned = options["prune"] !== undefined;
  const source = isPruned ? join(directory, "pruned") : directory;
  const folder = (options["output"] as string | undefined) ?? join(source, "optimized");
  const at = (name: string, what: string) => ({ path: join(folder, name), what });
  const isInt8 = quantize === "int8";
  const gate =
    record.val === null
      ? "no gate: the student has no validation split"
      : `gate: at most ${options["max-map-drop"]} mAP50-95 lost on its validation split`;
  const onnx: Record<QuantizeMode, ReturnType<typeof at>[]> = {
    int8: [at("model_int8.onnx", `INT8, ${gate}`)],
    fp16: [at("model_fp16.onnx", "float16")],
    dynamic: [at("model_int8_dynamic.onnx", "INT8 weights, size only")],
    none: [],
  };
  const { path: trtexec } = formats.includes("tensorrt") ? findTrtexec() : { path: null };
  return {
    decisions: [
      { what: "student", choice: record.student, why: `${directory} records it, ${record.classes.length} classes` },
      ...(formats.includes("tensorrt")
        ? [
            {
              what: "tensorrt",
              choice: trtexec === null ? "no engine here" : "engine",
              why: trtexec ?? "trtexec was not found: the command for the target would be shown",
            },
          ]
        : []),
    ],
    steps: [
      ...(isPruned
        ? [
            `remove ${100 * (options["prune"] as number)} % of the channels in ${options["prune-rounds"]} rounds of ${options["prune-epochs"]} epochs`,
          ]
        : []),
      "trace the network as ONNX and check it against the traced one",
      ...(isInt8 ? [`calibrate on ${images} images of ${data} (${options["calibration-method"]})`] : []),
      "certify that every file needs no prompt",
    ],
    writes: [
      ...(isPruned ? [{ path: source, what: "the pruned student, a run of its own" }] : []),
      at("model_fp32.onnx", "float32"),
      ...(formats.includes("onnx") ? onnx[quantize] : []),
      ...(formats.includes("onnx") && options["end-to-end"] === true
        ? [at("model_e2e.onnx", "with suppression and masks inside")]
        : []),
      ...(formats.includes("tensorrt") && isInt8 ? [at("model_int8_trt.onnx", "INT8 as TensorRT reads it")] : []),
      ...(trtexec === null ? [] : [at(`model_${isInt8 ? "int8" : "fp16"}.engine`, "for this GPU")]),
      ...(formats.includes("tflite")
        ? ["fp32", "fp16", ...(isInt8 ? ["int8"] : [])].map((name) => at(`model_${name}.tflite`, name))
        : []),
      at("certificate.json", "what was checked"),
      at("optimize.json", "sizes, layers that stayed float, accuracy"),
    ],
  };
}

/** Exports a student as ONNX fp32 and INT8, checks both against the traced model and certifies that they need no prompt. */
export async function optimize(
  options: OptionValues,
  output: Output,
  { signal, config }: CommandContext,
): Promise<void> {
  let directory = options["model"] as string;
  const formats = (options["format"] as readonly string[] | undefined) ?? ["onnx"];
  const quantize = options["quantize"] as QuantizeMode;
  const method = options["calibration-method"] as CalibrationMethod;
  checkGpu(options);
  let record = readStudentRecord(directory);
  weightsOf(directory);
  const { data, dataset, imagesDir } = await calibrationData({ options, directory, record });
  const chosen = spread(dataset.images, options["calibration-images"] as number);
  if (options["dry-run"] === true) {
    const plan = planOf({ options, formats, directory, record, images: chosen.length, data });
    return reportDryRun({ command: "optimize", config, output, plan });
  }
  const ratio = options["prune"] as number | undefined;
  if (ratio !== undefined) {
    const threads = options["threads"] as number | undefined;
    await startEngine({ threads });
    ({ directory, record } = await pruneRun({
      directory,
      record,
      ratio,
      epochs: options["prune-epochs"] as number,
      rounds: options["prune-rounds"] as number,
      output,
      signal,
    }));
  }
  const folder = (options["output"] as string | undefined) ?? join(directory, "optimized");
  const weights = weightsOf(directory);
  await startEngine({ threads: options["threads"] as number | undefined });
  const tensors: Float32Array[] = [];
  for (const [i, image] of chosen.entries()) {
    signal.throwIfAborted();
    try {
      const decoded = await decodeImage(join(imagesDir, image.file_name), {
        expectedSize: { width: image.width, height: image.height },
      });
      tensors.push(prepareYolo(decoded, { size: record.imgsz }).data);
    } catch (error) {
      // Calibration needs a sample, not every image; training may have left the same file out.
      if (!PreprocessError.isInstance(error)) throw error;
      output.line(`warning: not used for calibration: ${error.message}`);
    }
    output.progress({ label: "calibration images", done: i + 1, total: chosen.length });
  }
  if (tensors.length === 0) {
    throw new CommandError({
      code: "cli/no-calibration-images",
      message: `No image of ${data} can be read for calibration. Give others with --data and --images.`,
    });
  }

  const student = createStudent(record.student, {
    classes: record.classes.length,
    imgsz: record.imgsz,
    seed: record.seed,
    ...(record.widths ? { widths: record.widths } : {}),
  });
  const classes = { classes: record.classes };
  const task = isMaskStudent(record.student) ? ("segment" as const) : ("detect" as const);
  let exported: Awaited<ReturnType<typeof exportOnnx>>;
  try {
    loadWeights(student, weights, { strict: true });
    student.net.train(false);
    exported = await exportOnnx({
      trace: () => traceStudent({ model: student.net, deploy: student.deploy, imgsz: record.imgsz }),
      imgsz: record.imgsz,
      task,
      classes,
      author: options["author"] as string,
      license: options["license"] as string,
    });
  } finally {
    student.dispose();
  }
  output.line(
    `onnx        fp32 ${(exported.bytes.length / 1e6).toFixed(2)} MB, ${exported.model.graph.nodes.length} nodes`,
  );
  await mkdir(folder, { recursive: true });
  const models: Record<string, Uint8Array> = { "model_fp32.onnx": exported.bytes };
  const precisions: [name: string, precision: ArtefactPrecision][] = [["model_fp32.onnx", "fp32"]];
  const table = quantize === "int8" ? await calibrate(exported.model, tensors, { method }) : null;
  let int8: Int8Record | null = null;
  const endToEndNames = new Set<string>();
  if (formats.includes("onnx")) {
    const made = await onnxArtefacts({
      model: exported.model,
      mode: quantize,
      table,
      images: tensors,
      numClasses: record.classes.length,
      validation: quantize === "int8" ? await validationSet({ directory, record, signal }) : null,
      maxDrop: options["max-map-drop"] as number,
      withEndToEnd: options["end-to-end"] as boolean,
      output,
      signal,
    });
    int8 = made.int8;
    for (const { name, precision, bytes, isEndToEnd } of made.artefacts) {
      models[name] = bytes;
      if (isEndToEnd) endToEndNames.add(name);
      else precisions.push([name, precision]);
      const calibrated = name === "model_int8.onnx" ? `, calibrated on ${tensors.length} images (${method})` : "";
      output.line(
        `onnx        ${isEndToEnd ? "end to end" : precision} ${(bytes.length / 1e6).toFixed(2)} MB (${((100 * bytes.length) / exported.bytes.length).toFixed(1)} % of fp32)${calibrated}`,
      );
    }
  }
  if (table !== null && formats.includes("tensorrt")) {
    models["model_int8_trt.onnx"] = encodeModel(quantizeStatic(exported.model, table, { preset: "tensorrt" }));
    precisions.push(["model_int8_trt.onnx", "int8"]);
  }
  const tflite = formats.includes("tflite")
    ? tfliteArtefacts({ model: exported.model, calibration: table, folder })
    : { artefacts: [], refusal: null };
  for (const { name, precision, bytes } of tflite.artefacts) {
    models[name] = bytes;
    precisions.push([name, precision]);
    output.line(`tflite      ${precision} ${(bytes.length / 1e6).toFixed(2)} MB`);
  }
  const paths = writeArtefacts(folder, { models, model: exported.model, classes });
  const reference = join(folder, "model_fp32.onnx");
  const images = tensors.slice(0, 8);
  const certificates = [];
  // Other outputs, so not decoded like the raw graph; its structure must hold all the same.
  for (const name of endToEndNames) certifyPromptFree(decodeModel(models[name]!));
  for (const [name, precision] of precisions) {
    certificates.push(
      await verifyExport(join(folder, name), {
        classes,
        images,
        precision,
        ...(name === "model_fp32.onnx" ? {} : { reference }),
      }),
    );
  }
  const certificate = writeCertificates(folder, certificates);
  const promptFree = certificates.every((c) => c.promptFree);
  for (const warning of certificates.flatMap((c) => c.warnings)) output.line(`warning: ${warning}`);
  const written: Record<string, string> = Object.fromEntries(formats.map((format) => [format, "written"]));
  if (tflite.refusal !== null) written["tflite"] = `refused: ${tflite.refusal}`;
  if (formats.includes("tensorrt")) {
    const [source, precision] =
      table === null ? (["model_fp32.onnx", "fp16"] as const) : (["model_int8_trt.onnx", "int8"] as const);
    const result = await tensorRtEngine({ folder, source, precision, signal });
    if ("unavailable" in result) {
      written["tensorrt"] = `unavailable: ${result.unavailable}`;
      output.line(`tensorrt    ${precision} UNAVAILABLE: ${result.unavailable}`);
    } else {
      const { bytes, device, medianMs, powerWatts } = result.engine;
      const speed = medianMs === null ? "not measured" : `${medianMs} ms`;
      const power = powerWatts === null ? "" : `, ${powerWatts.toFixed(0)} W`;
      output.line(
        `tensorrt    ${precision} ${(bytes / 1e6).toFixed(2)} MB for ${device ?? "this GPU"}, ${speed}${power}`,
      );
    }
  }
  writeJson(join(folder, "optimize.json"), {
    version: 1,
    formats: { onnx: "written", ...written },
    sizes: Object.fromEntries(Object.entries(models).map(([n, b]) => [n, b.length])),
    sqnr: int8?.sqnr ?? null,
    int8: int8 === null ? null : { floatLayers: int8.floatLayers, accuracy: int8.accuracy, ranking: int8.ranking },
  });
  output.line(`certificate prompt free: ${promptFree}; ${certificate}`);
  if (tflite.refusal !== null) {
    const kept = Object.keys(models).map((name) => join(folder, name));
    throw new CommandError({
      code: "cli/tflite-unsupported",
      message: `${record.student} cannot become TFLite: ${tflite.refusal} Written all the same: ${kept.join(", ")}. Use those, or train another --student for TFLite.`,
    });
  }
  output.result({ command: "optimize", promptFree, files: paths });
}
