import { readFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import {
  fixDataset,
  formatSummary,
  loadDataset,
  type SplitResult,
  splitDataset,
  validateDataset,
} from "@seg/coco-dataset";
import sharp from "sharp";
import type { OptionSpecs, OptionValues } from "../args.js";
import { CommandError } from "../errors.js";
import { IMAGES_DIR_KEY, imagesDirectory, writeFileAtomic, writeJson } from "../files.js";
import type { Output } from "../output.js";

export const validateOptions: OptionSpecs = {
  data: { type: "string", required: true, help: "COCO annotations (.json)" },
  images: { type: "string", help: "folder of the images; found beside the file when absent" },
  output: {
    type: "string",
    help: "folder for the splits and validation.json; nothing is written without it",
    aliases: ["output-dir"],
  },
  split: { type: "string", help: "shares, for example train:0.7,val:0.15,test:0.15" },
  stratify: { type: "boolean", fallback: true, help: "keep class proportions in every split" },
  "random-seed": { type: "number", fallback: 42, help: "seed of the split", aliases: ["seed"] },
  "skip-images": { type: "boolean", fallback: false, help: "do not open the image files" },
};

/** Decodes an image completely, so that a truncated file is found, and returns its stored size. */
async function probeImage(path: string): Promise<{ width: number; height: number }> {
  const { info } = await sharp(await readFile(path), { failOn: "error" })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height };
}

/** Health check of a COCO file; with --split and --output also safe repairs, splits and a lock file. */
export async function validate(options: OptionValues, output: Output): Promise<void> {
  const data = options["data"] as string;
  const directory = options["output"] as string | undefined;
  const source = await loadDataset(data);
  const imagesDir =
    options["skip-images"] === true
      ? undefined
      : await imagesDirectory({ dataset: source, path: data, option: options["images"] as string | undefined });
  const { report } = await validateDataset(source, imagesDir === undefined ? {} : { imagesDir, probeImage });
  // Crowd flags are left to people: an official crowd of one component looks the same as an exporter mistake.
  const codes = report.findings.map((f) => f.code).filter((code) => code !== "suspicious_iscrowd");
  const { dataset, patchLog } = fixDataset(source, report, { codes });
  let split: SplitResult | null = null;
  if (options["split"] !== undefined && report.ok) {
    split = splitDataset(dataset, {
      ratios: options["split"] as string,
      seed: options["random-seed"] as number,
      stratify: options["stratify"] as boolean,
    });
  }
  output.line(formatSummary(report, split === null ? {} : { split }));
  for (const patch of patchLog) {
    const annotation = source.annotations.find((a) => a.id === patch.id);
    const image = source.images.find((i) => i.id === annotation?.image_id);
    output.line(
      `repaired    annotation ${patch.id} of ${image?.file_name ?? "?"}: ${patch.code}${patch.field === null ? ", dropped" : `, ${patch.field}`}`,
    );
  }
  if (directory !== undefined) {
    writeJson(join(directory, "validation.json"), { ...report, repairs: patchLog, split: split?.lock ?? null });
    if (patchLog.length > 0) {
      writeFileAtomic(join(directory, "patch.jsonl"), `${patchLog.map((p) => JSON.stringify(p)).join("\n")}\n`);
    }
    if (split !== null) {
      const from = resolve(directory);
      for (const [name, part] of Object.entries(split.splits)) {
        const where = imagesDir === undefined ? {} : { [IMAGES_DIR_KEY]: relative(from, imagesDir) || "." };
        writeFileAtomic(join(directory, `${name}.json`), `${JSON.stringify({ ...part, ...where })}\n`);
      }
      writeJson(join(directory, "split.lock.json"), split.lock);
      output.line(
        `written     ${Object.keys(split.splits)
          .map((n) => join(directory, `${n}.json`))
          .join(", ")}`,
      );
    }
  }
  output.result({
    command: "validate",
    ok: report.ok,
    findings: report.findings,
    repairs: patchLog.length,
    split: split?.lock.metrics ?? null,
  });
  if (!report.ok) {
    const first = report.findings.find((f) => f.severity === "error");
    throw new CommandError({
      code: "cli/unusable-data",
      message: `${data} cannot be used: ${first?.message ?? "see the findings above"}`,
    });
  }
}
