import { readFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import {
  type CocoDataset,
  fixDataset,
  formatSummary,
  loadDataset,
  type SplitResult,
  splitDataset,
  validateDataset,
} from "@seg/coco-dataset";
import sharp from "sharp";
import type { OptionSpecs, OptionValues } from "../args.js";
import { emptyData, unusableData } from "../data.js";
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
  "random-seed": {
    type: "number",
    range: { integer: true, min: 0 },
    fallback: 42,
    help: "seed of the split",
    aliases: ["seed"],
  },
  "skip-images": { type: "boolean", fallback: false, help: "do not open the image files" },
};

/**
 * Decodes images completely, so that a truncated file is found. The size is the stored one, or the upright one where EXIF turns the
 * picture and the annotations are made for that: training reads such files the same way.
 */
function createProbe(dataset: CocoDataset, imagesDir: string) {
  const images = new Map(dataset.images.map((image) => [resolve(imagesDir, image.file_name), image]));
  return async (path: string): Promise<{ width: number; height: number }> => {
    const bytes = await readFile(path);
    // Our own words: the text of libvips' errors is shared by its threads and may be gone when several files are open.
    const says = (message: string) => (cause: unknown) => {
      throw new Error(message, { cause });
    };
    const { orientation = 1 } = await sharp(bytes).metadata().catch(says("no image that can be read"));
    const { info } = await sharp(bytes, { failOn: "error" })
      .raw()
      .toBuffer({ resolveWithObject: true })
      .catch(says("damaged or cut off"));
    const expected = images.get(path);
    // Orientations 5 to 8 swap the sides.
    const isTurned = orientation >= 5 && expected?.width === info.height && expected.height === info.width;
    return isTurned ? { width: info.height, height: info.width } : { width: info.width, height: info.height };
  };
}

/** Health check of a COCO file; with --split and --output also safe repairs, splits and a lock file. */
export async function validate(options: OptionValues, output: Output): Promise<void> {
  const data = options["data"] as string;
  const directory = options["output"] as string | undefined;
  const source = await loadDataset(data);
  if (source.images.length === 0) throw emptyData(data);
  const imagesDir =
    options["skip-images"] === true
      ? undefined
      : await imagesDirectory({ dataset: source, path: data, option: options["images"] as string | undefined });
  const { report } = await validateDataset(
    source,
    imagesDir === undefined ? {} : { imagesDir, probeImage: createProbe(source, imagesDir) },
  );
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
      `${split === null ? "repairable " : "repaired   "} annotation ${patch.id} of ${image?.file_name ?? "?"}: ${patch.code}${patch.field === null ? ", dropped" : `, ${patch.field}`}`,
    );
  }
  if (directory === undefined && split !== null) {
    output.line("written     nothing: give --output FOLDER to keep the splits");
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
    throw unusableData({ path: data, errors: report.findings.filter((f) => f.severity === "error") });
  }
}
