import { existsSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { renderOverlay } from "@seg/coco-dataset/preview";
import { createDetector, type Detector } from "@seg/export/runtime";
import { decodeImage, PreprocessError } from "@seg/preprocess";
import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { reportDryRun } from "../dry-run.js";
import { CommandError, UsageError } from "../errors.js";
import { explainError } from "../explain-error.js";
import { writeFileAtomic, writeJson } from "../files.js";
import { didYouMean } from "../option-names.js";
import { configOption, dryRunOption, HOW } from "../option-specs.js";
import type { Output } from "../output.js";
import { foundInstances } from "../overlay/found-instances.js";
import { type PredictedPicture, predictionsAsCoco } from "../predictions-as-coco.js";

const share = { min: 0, max: 1 } as const;

export const predictOptions: OptionSpecs = {
  model: {
    type: "string",
    path: "file",
    required: true,
    help: "exported model (.onnx, or .tflite where @litertjs/core is installed)",
  },
  output: {
    type: "string",
    path: "folder",
    fallback: "predictions",
    help: "folder for overlays, predictions.json and annotations.json (COCO)",
    aliases: ["output-dir"],
  },
  confidence: { type: "number", range: share, fallback: 0.25, help: "lowest score that is kept" },
  iou: { type: "number", range: share, fallback: 0.7, help: "overlap above which the weaker detection goes" },
  classes: { type: "list", help: "keep these classes only, by name", usual: "all" },
  threads: {
    type: "number",
    range: { integer: true, min: 1 },
    fallback: 1,
    help: "threads of the runtime",
    group: HOW,
  },
  ...configOption,
  ...dryRunOption,
};

/** @throws {@link CommandError} `cli/model-not-found`, `cli/model-unusable` naming the file */
async function openModel(model: string, threads: number): Promise<Detector> {
  if (!existsSync(model)) {
    throw new CommandError({
      code: "cli/model-not-found",
      message: `Model ${model} was not found. Export one with seg optimize, or check the path.`,
    });
  }
  try {
    return await createDetector({ model, threads });
  } catch (error) {
    throw new CommandError({
      code: "cli/model-unusable",
      message: `Model ${model} cannot be opened: ${explainError(error).message} Give a file that seg optimize wrote, such as optimized/model_int8.onnx of a student.`,
    });
  }
}

/** @throws {@link UsageError} for a class that the model does not know, naming the nearest */
function checkClasses(wanted: readonly string[], known: readonly string[]): void {
  const unknown = wanted.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new UsageError(
    `--classes: the model knows no "${unknown}".${didYouMean(unknown, known, (hint) => `"${hint}"`)} It finds ${known.join(", ")}.`,
  );
}

/** File names of the overlays: the image's own, with a number where two images share one. */
function overlayNames(files: readonly string[]): string[] {
  const used = new Set<string>();
  return files.map((file) => {
    const stem = basename(file, extname(file));
    let name = stem;
    for (let i = 2; used.has(name); i++) name = `${stem}-${i}`;
    used.add(name);
    return `${name}.png`;
  });
}

/**
 * Runs an exported model on pictures; writes an overlay for each and one JSON file. A picture that cannot be read is named at the end
 * and costs the others nothing.
 */
export async function predict(
  options: OptionValues,
  output: Output,
  { positional, signal, config }: CommandContext,
): Promise<void> {
  if (positional.length === 0)
    throw new UsageError(
      "seg predict needs at least one image, for example seg predict --model model_int8.onnx image.jpg.",
    );
  const missing = positional.filter((file) => !existsSync(file));
  if (missing.length > 0) {
    throw new CommandError({
      code: "cli/image-not-found",
      message: `Image ${missing[0]} was not found${missing.length > 1 ? `, nor ${missing.length - 1} more` : ""}. Check the path.`,
    });
  }
  const directory = options["output"] as string;
  const detector = await openModel(options["model"] as string, options["threads"] as number);
  const classes = options["classes"] as readonly string[] | undefined;
  checkClasses(classes ?? [], detector.metadata.names);
  const names = overlayNames(positional);
  if (options["dry-run"] === true) {
    await detector.dispose();
    return reportDryRun({
      ...{ command: "predict", config, output },
      plan: {
        decisions: [],
        steps: [`find objects on ${positional.length} images with ${options["model"]}`],
        writes: [
          ...positional.map((file, k) => ({ path: join(directory, names[k]!), what: `overlay of ${file}` })),
          { path: join(directory, "predictions.json"), what: "boxes, classes and scores" },
          {
            path: join(directory, "annotations.json"),
            what: "the same as COCO, with masks, to be corrected by a person",
          },
        ],
      },
    });
  }
  const results: object[] = [];
  const pictures: PredictedPicture[] = [];
  const failures: string[] = [];
  try {
    for (const [k, file] of positional.entries()) {
      signal.throwIfAborted();
      let image: Awaited<ReturnType<typeof decodeImage>>;
      try {
        image = await decodeImage(file);
      } catch (error) {
        if (!PreprocessError.isInstance(error)) throw error;
        failures.push(error.message);
        continue;
      }
      const start = performance.now();
      const found = await detector.predict(image, {
        confidence: options["confidence"] as number,
        iou: options["iou"] as number,
      });
      const milliseconds = performance.now() - start;
      const instances = foundInstances(found).filter(({ name }) => classes?.includes(name) ?? true);
      const overlay = join(directory, names[k]!);
      writeFileAtomic(overlay, await renderOverlay({ image, instances, format: "png" }));
      output.line(`${file}: ${instances.length} objects in ${milliseconds.toFixed(0)} ms -> ${overlay}`);
      for (const { name, score, box } of instances)
        output.line(`  ${name.padEnd(12)} ${score.toFixed(2)}  [${box.map((v) => v.toFixed(0)).join(", ")}]`);
      output.progress({ label: "predicting", done: k + 1, total: positional.length });
      pictures.push({ file, width: image.width, height: image.height, instances });
      results.push({
        file,
        overlay,
        milliseconds,
        instances: instances.map(({ classId, name, score, box }) => ({ classId, name, score, box })),
      });
    }
  } finally {
    await detector.dispose();
  }
  if (results.length > 0) {
    writeJson(join(directory, "predictions.json"), results);
    writeJson(join(directory, "annotations.json"), predictionsAsCoco({ pictures, names: detector.metadata.names }));
  }
  if (failures.length > 0) {
    const rest = failures.length > 1 ? ` (and ${failures.length - 1} more unreadable images)` : "";
    const kept =
      results.length > 0 ? ` The other ${results.length} are in ${join(directory, "predictions.json")}.` : "";
    throw new CommandError({ code: "cli/bad-image", message: `${failures[0]}${rest}${kept}` });
  }
  output.result({ command: "predict", images: results });
}
