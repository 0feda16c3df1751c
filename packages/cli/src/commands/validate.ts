import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import {
  type CocoDataset,
  type ConversionReport,
  convert,
  findDuplicates,
  fixDataset,
  formatName,
  formatSummary,
  type ImportedDataset,
  importDataset,
  type PatchEntry,
  type ValidationReport,
  validateDataset,
  writeConversion,
  writeDataset,
} from "@seg/coco-dataset";
import { htmlReport } from "@seg/coco-dataset/preview";
import sharp from "sharp";
import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { emptyData, inFile, unusableData } from "../data.js";
import { type DryRun, reportDryRun } from "../dry-run.js";
import { CommandError, UsageError } from "../errors.js";
import { IMAGES_DIR_KEY, imagesDirectory, writeFileAtomic, writeJson } from "../files.js";
import { configOption, DATA, dryRunOption, grouped } from "../option-specs.js";
import type { Output } from "../output.js";
import { createProbe } from "../validate/create-probe.js";
import { describeConversion } from "../validate/describe-conversion.js";
import { type Division, divide } from "../validate/divide.js";
import { writePictures } from "../validate/write-pictures.js";

const TARGETS = ["yolo", "coco"] as const;
const ON_MIXED = ["box-polygon", "boxes"] as const;

export const validateOptions: OptionSpecs = {
  ...grouped(DATA, {
    data: {
      type: "string",
      path: "file",
      required: true,
      help: "COCO or LVIS JSON, or a file or folder of YOLO, Pascal VOC, LabelMe, CVAT (recognised by content)",
    },
    images: {
      type: "string",
      path: "folder",
      help: "folder of the images; found beside the annotations when absent",
    },
    output: {
      type: "string",
      path: "folder",
      help: "folder for splits, COCO files, validation.json and .html, pictures; nothing is written without it",
      aliases: ["output-dir"],
    },
    "skip-images": { type: "boolean", fallback: false, help: "do not open the image files" },
    preview: {
      type: "number",
      range: { integer: true, min: 0, max: 200 },
      fallback: 12,
      help: "images on preview.png and findings.png; 0 for none",
    },
  }),
  ...grouped("Splits", {
    split: {
      type: "string",
      help: "shares, for example train:0.7,val:0.15,test:0.15; without it the splits that the data declares",
    },
    stratify: { type: "boolean", fallback: true, help: "keep class proportions in every split" },
    "random-seed": {
      type: "number",
      range: { integer: true, min: 0 },
      fallback: 42,
      help: "seed of the split",
      aliases: ["seed"],
    },
    "group-similar": {
      type: "boolean",
      fallback: false,
      help: "keep images that are almost equal in one split; exact copies always are",
    },
  }),
  ...grouped("Conversion", {
    convert: {
      type: "list",
      choices: TARGETS,
      help: "also write the data as yolo (labels, images, data.yaml) or coco (one file)",
    },
    "allow-loss": { type: "boolean", fallback: false, help: "convert although something annotated is lost" },
    "on-mixed": {
      type: "string",
      choices: ON_MIXED,
      help: "boxes among masks become rectangles (box-polygon), or all become boxes (boxes)",
    },
  }),
  ...configOption,
  ...dryRunOption,
};

/** Health check of a dataset in any format; with --output also safe repairs, splits, a lock file, conversions and pictures. */
export async function validate(
  options: OptionValues,
  output: Output,
  { signal, config }: CommandContext,
): Promise<void> {
  const path = options["data"] as string;
  const directory = options["output"] as string | undefined;
  const targets = conversionTargets(options, directory);
  const onMixed = (options["on-mixed"] as (typeof ON_MIXED)[number] | undefined) ?? null;
  const imagesOption = options["images"] as string | undefined;
  const imported = await inFile(path, () =>
    importDataset(path, { ...(imagesOption === undefined ? {} : { imagesDir: imagesOption }), signal }),
  );
  const source = imported.dataset;
  if (source.images.length === 0) throw emptyData(path);
  const imagesDir = options["skip-images"] === true ? undefined : await imagesOf(imported, imagesOption);
  const duplicates = imagesDir === undefined ? null : await findDuplicates(source, { imagesDir, signal });
  const checked = await validateDataset(source, {
    ...(imagesDir === undefined ? {} : { imagesDir, probeImage: await createProbe() }),
    ...(duplicates === null ? {} : { duplicates }),
    signal,
  });
  const found: ValidationReport = { ...checked.report, findings: [...imported.findings, ...checked.report.findings] };
  // Crowd flags are left to people: an official crowd of one component looks the same as an exporter mistake.
  const codes = found.findings.map((f) => f.code).filter((code) => code !== "suspicious_iscrowd");
  const { dataset, patchLog } = fixDataset(source, found, { codes });
  const asked =
    options["split"] === undefined
      ? null
      : {
          ratios: options["split"] as string,
          seed: options["random-seed"] as number,
          stratify: options["stratify"] as boolean,
        };
  const clusters = (options["group-similar"] === true ? duplicates?.near : duplicates?.exact) ?? [];
  const division = found.ok ? await divide({ dataset, asked, declared: imported.splits, clusters }) : null;
  const isDivided = division === null || division.findings.every(({ severity }) => severity !== "error");
  const report: ValidationReport = { ...found, ok: found.ok && isDivided };
  const isForeign = imported.format !== "coco";
  if (isForeign) output.line(`format      ${formatName(imported.format)}, read as COCO`);
  output.line(formatSummary(report, division === null ? {} : { split: division }));
  const isSimilar = (duplicates?.near.length ?? 0) > (duplicates?.exact.length ?? 0);
  if (division?.lock != null && isSimilar && options["group-similar"] !== true) {
    output.line("note        almost equal images may lie in different splits; --group-similar keeps them together");
  }
  const willRepair = directory !== undefined && report.ok && (division !== null || isForeign || targets.length > 0);
  sayRepairs({ output, source, patchLog, done: willRepair || division?.lock != null });

  const refuse = () => {
    const all = [...report.findings, ...(division?.findings ?? [])];
    if (!report.ok) throw unusableData({ path, errors: all.filter(({ severity }) => severity === "error") });
  };
  const asOne = targets.includes("coco") || (isForeign && division === null);
  const documents =
    directory === undefined || !report.ok
      ? []
      : documentsOf({ directory, dataset, division, asOne, source: imported.source });
  if (options["dry-run"] === true) {
    const pictures = imagesDir !== undefined && (options["preview"] as number) > 0;
    const plan = planOf({ directory, report, patchLog, division, asOne, pictures, targets });
    reportDryRun({ command: "validate", config, output, plan });
    return refuse();
  }

  const conversions: ConversionReport[] = [];
  if (directory === undefined) {
    if (division?.lock != null) output.line("written     nothing: give --output FOLDER to keep the splits");
    else if (isForeign) output.line("written     nothing: give --output FOLDER to keep the data as COCO");
  } else {
    await mkdir(directory, { recursive: true });
    writeReport({ directory, report, imported, patchLog, division });
    const name = basename(resolve(path));
    const pictures =
      imagesDir === undefined
        ? []
        : await writePictures({
            ...{ dataset: source, imagesDir, findings: report.findings, directory, source: name, signal },
            count: options["preview"] as number,
          });
    const page = join(directory, "validation.html");
    writeFileAtomic(
      page,
      htmlReport({
        title: `Health check of ${name}`,
        report,
        split: division ?? undefined,
        pictures: await Promise.all(
          pictures.map(async ({ title, bytes }) => {
            // A photograph takes a fifth of its PNG.
            const jpeg = await sharp(bytes).jpeg({ quality: 85 }).toBuffer();
            return { title, bytes: jpeg, mime: "image/jpeg" as const };
          }),
        ),
      }),
    );
    output.line(`report      ${[page, ...pictures.map((picture) => picture.path)].join(", ")}`);
    if (report.ok) {
      const files = await writeDocuments({ directory, documents, division, imagesDir });
      if (files.length > 0) output.line(`written     ${files.join(", ")}`);
      if (targets.includes("yolo")) {
        conversions.push(
          await writeYolo({
            ...{ directory, dataset, division, imagesDir, onMixed, output, signal },
            allowLoss: options["allow-loss"] === true,
          }),
        );
      }
    }
  }
  output.result({
    command: "validate",
    ok: report.ok,
    format: imported.format,
    findings: [...report.findings, ...(division?.findings ?? [])],
    repairs: patchLog.length,
    split: division?.lock?.metrics ?? null,
    conversions,
  });
  refuse();
}

/** What `--dry-run` says. */
function planOf({
  directory,
  report,
  patchLog,
  division,
  asOne,
  pictures,
  targets,
}: {
  directory: string | undefined;
  report: ValidationReport;
  patchLog: readonly PatchEntry[];
  division: Division | null;
  asOne: boolean;
  pictures: boolean;
  targets: readonly string[];
}): DryRun {
  const splits = Object.entries(division?.parts ?? {});
  const decisions = splits.map(([name, part]) => ({
    ...{ what: `split ${name}`, choice: `${part.images.length} images`, why: `${part.annotations.length} annotations` },
  }));
  if (directory === undefined) return { decisions, steps: ["check the data"], writes: [] };
  const at = (name: string, what: string) => ({ path: join(directory, name), what });
  return {
    decisions,
    steps: ["check the data", ...(patchLog.length === 0 ? [] : [`repair ${patchLog.length} annotations`])],
    writes: [
      at("validation.json", "findings, repairs, splits"),
      at("validation.html", "the same as a page"),
      ...(pictures ? [at("preview.png", "some images with their annotations")] : []),
      ...(pictures && report.findings.length > 0
        ? [at("findings.png", "images with findings, where they can be drawn")]
        : []),
      ...(patchLog.length > 0 ? [at("patch.jsonl", "every repair")] : []),
      ...(!report.ok
        ? []
        : [
            ...splits.map(([name, part]) => at(`${name}.json`, `${part.images.length} images`)),
            ...(asOne ? [at("annotations.json", "all images as COCO")] : []),
            ...(division?.lock == null ? [] : [at("split.lock.json", "which image is where")]),
            ...(targets.includes("yolo") ? [at("yolo", "the data as YOLO")] : []),
          ]),
    ],
  };
}

/** @throws {@link UsageError} for a target without a folder to write to */
function conversionTargets(options: OptionValues, directory: string | undefined): readonly string[] {
  const targets = (options["convert"] ?? []) as readonly string[];
  if (targets.length > 0 && directory === undefined) {
    throw new UsageError("--convert needs --output FOLDER to write to.");
  }
  return targets;
}

/** Folder of the images: where the importer found them, else where the document or its place says. */
async function imagesOf(imported: ImportedDataset, option: string | undefined): Promise<string> {
  const { dataset, source } = imported;
  return imported.imagesDir ?? (await imagesDirectory({ dataset, path: source, option }));
}

function sayRepairs({
  output,
  source,
  patchLog,
  done,
}: {
  output: Output;
  source: CocoDataset;
  patchLog: readonly PatchEntry[];
  done: boolean;
}): void {
  const images = new Map(source.images.map((image) => [image.id, image.file_name]));
  const annotations = new Map(source.annotations.map((annotation) => [annotation.id, annotation.image_id]));
  for (const patch of patchLog) {
    const file = images.get(annotations.get(patch.id) ?? Number.NaN) ?? "?";
    const what = patch.field === null ? ", dropped" : `, ${patch.field}`;
    output.line(`${done ? "repaired   " : "repairable "} annotation ${patch.id} of ${file}: ${patch.code}${what}`);
  }
}

function writeReport({
  directory,
  report,
  imported,
  patchLog,
  division,
}: {
  directory: string;
  report: ValidationReport;
  imported: ImportedDataset;
  patchLog: readonly PatchEntry[];
  division: Division | null;
}): void {
  const source = { format: imported.format, path: imported.source };
  const splits = division?.distribution.splits ?? [];
  writeJson(join(directory, "validation.json"), {
    ...report,
    source,
    repairs: patchLog,
    splits,
    splitFindings: division?.findings ?? [],
    split: division?.lock ?? null,
  });
  if (patchLog.length > 0) {
    writeFileAtomic(join(directory, "patch.jsonl"), `${patchLog.map((p) => JSON.stringify(p)).join("\n")}\n`);
  }
}

/**
 * Split files and, where asked or needed, the whole dataset as one file, by their paths.
 * @throws {@link CommandError} `cli/would-overwrite-input`, and `cli/would-overwrite` for a file of somebody else in a folder without validation.json
 */
function documentsOf({
  directory,
  dataset,
  division,
  asOne,
  source,
}: {
  directory: string;
  dataset: CocoDataset;
  division: Division | null;
  asOne: boolean;
  source: string;
}): (readonly [path: string, document: CocoDataset])[] {
  const documents: [string, CocoDataset][] = Object.entries(division?.parts ?? {});
  if (asOne) documents.push(["annotations", dataset]);
  const targets = documents.map(([name, document]) => [join(directory, `${name}.json`), document] as const);
  const input = targets.find(([path]) => resolve(path) === resolve(source));
  if (input !== undefined) {
    throw new CommandError({
      code: "cli/would-overwrite-input",
      message: `${input[0]} is the file that was read, and inputs are never written to. Give another --output folder.`,
    });
  }
  const isOurs = existsSync(join(directory, "validation.json"));
  const foreign = isOurs ? undefined : targets.find(([path]) => existsSync(path));
  if (foreign !== undefined) {
    throw new CommandError({
      code: "cli/would-overwrite",
      message: `${foreign[0]} exists and is not of seg validate, which would replace it. Move it or give another --output folder.`,
    });
  }
  return targets;
}

/** Writes documents, each of which says where its images lie. */
async function writeDocuments({
  directory,
  documents,
  division,
  imagesDir,
}: {
  directory: string;
  documents: ReturnType<typeof documentsOf>;
  division: Division | null;
  imagesDir: string | undefined;
}): Promise<string[]> {
  const where = imagesDir === undefined ? {} : { [IMAGES_DIR_KEY]: relative(resolve(directory), imagesDir) || "." };
  for (const [path, part] of documents) await writeDataset({ ...part, ...where }, path);
  if (division?.lock != null) writeJson(join(directory, "split.lock.json"), division.lock);
  return documents.map(([path]) => path);
}

async function writeYolo({
  directory,
  dataset,
  division,
  imagesDir,
  onMixed,
  allowLoss,
  output,
  signal,
}: {
  directory: string;
  dataset: CocoDataset;
  division: Division | null;
  imagesDir: string | undefined;
  onMixed: "box-polygon" | "boxes" | null;
  allowLoss: boolean;
  output: Output;
  signal: AbortSignal;
}): Promise<ConversionReport> {
  const ids = (part: CocoDataset) => part.images.map((image) => image.id);
  const splits = Object.entries(division?.parts ?? {}).map(([name, part]) => [name, ids(part)] as const);
  const conversion = convert(dataset, {
    to: "yolo",
    allowLoss,
    ...(splits.length === 0 ? {} : { splits: Object.fromEntries(splits) }),
    ...(onMixed === null ? {} : { onMixed }),
    signal,
  });
  const target = join(directory, "yolo");
  const { missingImages } = await writeConversion(conversion, target, {
    ...(imagesDir === undefined ? {} : { imagesDir }),
    signal,
  });
  for (const line of describeConversion(conversion.lossReport)) output.line(line);
  const copied = imagesDir === undefined ? "without the images (--skip-images)" : "with the images";
  output.line(`written     ${join(target, "data.yaml")} ${copied}`);
  for (const name of missingImages) output.line(`  note  the image ${name} is missing and was not copied`);
  return conversion.lossReport;
}
