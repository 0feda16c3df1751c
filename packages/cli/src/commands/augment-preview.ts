import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type ClassIndex,
  createRegistry,
  donorsFrom,
  type Intensity,
  loadPipeline,
  type Pipeline,
  type PipelineResult,
  type PipelineSample,
} from "@seg/augment";
import {
  annotationPolygons,
  annotationsOf,
  type CocoDataset,
  type CocoImage,
  createClassMapping,
  mask,
  type RgbImage,
  type Rle,
} from "@seg/coco-dataset";
import {
  chooseImages,
  escapeMarkup,
  fitText,
  type OverlayInstance,
  renderOverlay,
  textWidth,
} from "@seg/coco-dataset/preview";
import { decodeImage } from "@seg/preprocess";
import sharp, { type OverlayOptions } from "sharp";
import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { loadSplit } from "../data.js";
import { reportDryRun } from "../dry-run.js";
import { UsageError } from "../errors.js";
import { writeFileAtomic } from "../files.js";
import { DATA, dryRunOption, grouped } from "../option-specs.js";
import type { Output } from "../output.js";

const count = (min: number, max: number) => ({ integer: true, min, max });
const INTENSITIES = ["low", "medium", "high"] as const satisfies readonly Intensity[];

export const augmentPreviewOptions: OptionSpecs = {
  ...grouped(DATA, {
    data: { type: "string", path: "file", required: true, help: "COCO annotations (.json)" },
    images: { type: "string", path: "folder", help: "folder of the images; found beside the file when absent" },
    output: {
      type: "string",
      path: "file",
      fallback: "augment-preview.png",
      help: "the contact sheet (.png); the pipeline goes beside it",
    },
  }),
  ...grouped("Pipeline", {
    characteristics: { type: "list", help: "what the objects are like, for example changes_shape low_contrast" },
    intensity: { type: "string", fallback: "medium", choices: INTENSITIES, help: "how much is changed" },
    lighting: { type: "string", choices: ["stable", "variable", "poor"], help: "light in the pictures" },
    camera: { type: "string", choices: ["fixed", "moving", "shaky"], help: "how the camera stands" },
    background: { type: "string", choices: ["clean", "busy", "changing"], help: "what is behind the objects" },
    distance: { type: "string", choices: ["fixed", "variable", "close"], help: "from camera to objects" },
    facts: {
      type: "list",
      choices: ["smallObjects", "thinObjects", "rigid", "colourCritical", "chirality", "orientationFree"],
      help: "what else holds",
    },
    mixing: {
      type: "boolean",
      fallback: false,
      help: "also mosaic, mixup and copy_paste, as when a student is trained",
    },
    pipeline: {
      type: "string",
      path: "file",
      help: "pipeline file (YAML) instead of the options above",
      aliases: ["config"],
    },
    seed: { type: "number", range: { integer: true, min: 0 }, fallback: 42, help: "seed of every draw" },
  }),
  ...grouped("Sheet", {
    size: {
      type: "number",
      range: count(32, 4096),
      help: "square canvas in pixels",
      usual: "the image's own size",
    },
    count: { type: "number", range: count(1, 64), fallback: 4, help: "images, one row each" },
    variants: { type: "number", range: count(1, 12), fallback: 4, help: "augmented versions beside each image" },
  }),
  ...dryRunOption,
};

/** Side of a tile on the sheet, pixels. */
const TILE = 320;
const GAP = 10;
const TITLE_HEIGHT = 56;
/** Three lines of text. */
const CAPTION_HEIGHT = 50;
const FONT = "DejaVu Sans, Verdana, Arial, Helvetica, sans-serif";

function pipelineOf(options: OptionValues, text: string | null): Pipeline {
  if (text !== null) return loadPipeline(text);
  const environment: Record<string, string> = {};
  for (const axis of ["lighting", "camera", "background", "distance"]) {
    const value = options[axis];
    if (typeof value === "string") environment[axis] = value;
  }
  const size = options["size"] as number | undefined;
  return createRegistry().getPipeline({
    characteristics: (options["characteristics"] as readonly string[] | undefined) ?? [],
    environment,
    intensity: options["intensity"] as Intensity,
    facts: Object.fromEntries(((options["facts"] as readonly string[] | undefined) ?? []).map((fact) => [fact, true])),
    seed: options["seed"] as number,
    instances: { bboxFormat: "coco" },
    ...(options["mixing"] === true ? { stage: "distill" as const, distillation: true } : {}),
    ...(size === undefined ? {} : { canvas: { width: size, height: size } }),
  });
}

/** Samples of a COCO file for the pipeline; labels are class indices. */
function samplesOf(dataset: CocoDataset, imagesDir: string) {
  const mapping = createClassMapping(dataset);
  const classOf = new Map(mapping.classes.map(({ categoryId, index }) => [categoryId, index]));
  const usable = (image: CocoImage) =>
    annotationsOf(dataset, image.id).filter(
      ({ bbox, category_id }) => bbox != null && bbox[2]! > 0 && bbox[3]! > 0 && classOf.has(category_id),
    );
  const hasMasks = dataset.annotations.some(({ segmentation }) => segmentation != null);
  const classes: { sample: number; instance: number }[][] = mapping.classes.map(() => []);
  if (hasMasks) {
    dataset.images.forEach((image, sample) => {
      usable(image).forEach(({ category_id, iscrowd, segmentation }, instance) => {
        if (iscrowd !== 1 && segmentation != null) classes[classOf.get(category_id)!]!.push({ sample, instance });
      });
    });
  }
  const index: ClassIndex = classes.filter((members) => members.length > 0);
  const load = async (at: number): Promise<PipelineSample> => {
    const image = dataset.images[at]!;
    const annotations = usable(image);
    const decoded = await decodeImage(join(imagesDir, image.file_name), { expectedSize: image });
    const { width, height, data } = decoded;
    return {
      image: { width, height, data, channels: 3 },
      bboxes: annotations.map(({ bbox }) => bbox!),
      labels: annotations.map(({ category_id }) => classOf.get(category_id)!),
      iscrowd: annotations.map(({ iscrowd }) => iscrowd ?? 0),
      ...(hasMasks ? { masks: annotations.map((annotation) => annotationPolygons(annotation, height, width)) } : {}),
    };
  };
  return { mapping, source: { count: dataset.images.length, load }, classes: index };
}

/** What the overlay draws of a sample or result. */
function overlayInstances(
  { image: { width, height }, bboxes = [], masks = [], labels = [] }: PipelineSample | PipelineResult,
  names: readonly string[],
): OverlayInstance[] {
  return bboxes.map((box, i): OverlayInstance => {
    const given = masks[i];
    let rle: Rle | undefined;
    if (Array.isArray(given)) {
      const parts = (given as readonly ArrayLike<number>[]).filter((part) => part.length >= 6);
      rle = parts.length > 0 ? mask.fromPolygons(parts, height, width) : undefined;
    } else if (given !== undefined && "counts" in given) rle = given as Rle;
    const classId = Number(labels[i] ?? 0);
    return {
      classId,
      name: names[classId] ?? String(classId),
      box: [box[0]!, box[1]!, box[0]! + box[2]!, box[1]! + box[3]!],
      mask: rle,
    };
  });
}

interface Tile {
  readonly picture: Uint8Array;
  readonly lines: readonly string[];
}

/** "Affine, RandomGamma" over at most two lines, then the objects; what was skipped is left out. */
function captionOf({ trace, kept, dropped }: PipelineResult): string[] {
  const types = trace.filter(({ params }) => params !== null).map(({ type }) => type);
  const lines = [""];
  for (const type of types) {
    const last = lines.at(-1)!;
    const longer = last === "" ? type : `${last}, ${type}`;
    if (lines.length < 2 && last !== "" && textWidth(longer, 11) > TILE) lines.push(type);
    else lines[lines.length - 1] = longer;
  }
  if (types.length === 0) lines[0] = "unchanged";
  return [...lines, `${kept.length} objects${dropped.length === 0 ? "" : `, ${dropped.length} dropped`}`];
}

async function tileOf(
  shown: PipelineSample | PipelineResult,
  names: readonly string[],
  lines: readonly string[],
): Promise<Tile> {
  const { width, height, data } = shown.image;
  const picture: RgbImage = { width, height, data };
  const drawn = await renderOverlay({
    image: picture,
    instances: overlayInstances(shown, names),
    maxSide: TILE * 2,
    hasLegend: true,
  });
  return { picture: drawn, lines };
}

function svgText(lines: readonly string[], width: number, height: number, sizes: readonly number[]): Buffer {
  let y = 0;
  const texts = lines.map((line, i) => {
    const size = sizes[i] ?? sizes.at(-1)!;
    y += size + 3;
    const isHeading = i === 0 || i < lines.length - 1;
    const weight = isHeading ? "bold" : "normal";
    return `<text x="0" y="${y}" font-size="${size}" font-weight="${weight}" fill="${isHeading ? "#16202c" : "#5b6673"}">${escapeMarkup(fitText(line, size, width))}</text>`;
  });
  return Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="${FONT}">${texts.join("")}</svg>`,
  );
}

/** One row per image: the original, then its variants, each with what was done to it. */
async function sheetOf(rows: readonly (readonly Tile[])[], title: readonly string[]): Promise<Uint8Array> {
  const columns = Math.max(...rows.map((row) => row.length));
  const width = GAP + columns * (TILE + GAP);
  const layers: OverlayOptions[] = [
    { input: svgText(title, width - 2 * GAP, TITLE_HEIGHT, [18, 12]), left: GAP, top: GAP },
  ];
  let top = GAP + TITLE_HEIGHT;
  for (const row of rows) {
    const fitted = await Promise.all(
      row.map(({ picture }) =>
        sharp(picture).resize(TILE, TILE, { fit: "inside" }).png().toBuffer({ resolveWithObject: true }),
      ),
    );
    const height = Math.max(...fitted.map(({ info }) => info.height));
    fitted.forEach(({ data, info }, k) => {
      const left = GAP + k * (TILE + GAP);
      layers.push({ input: data, left: left + Math.floor((TILE - info.width) / 2), top });
      const text = svgText(row[k]!.lines, TILE, CAPTION_HEIGHT, [11, 11]);
      layers.push({ input: text, left, top: top + height + 2 });
    });
    top += height + CAPTION_HEIGHT + GAP;
  }
  const bytes = await sharp({ create: { width, height: top, channels: 3, background: "#fff" } })
    .composite(layers)
    .removeAlpha()
    .png()
    .toBuffer();
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Shows what a pipeline does to a dataset: a contact sheet, the resolved pipeline as YAML, and why each transform is in it. */
export async function augmentPreview(
  options: OptionValues,
  output: Output,
  { signal, config }: CommandContext,
): Promise<void> {
  const file = options["pipeline"] as string | undefined;
  if (file !== undefined && options["characteristics"] !== undefined) {
    throw new UsageError("--pipeline and --characteristics exclude each other: give one of them.");
  }
  const target = options["output"] as string;
  if (!target.toLowerCase().endsWith(".png")) throw new UsageError(`--output must end in .png, got "${target}".`);
  const pipeline = pipelineOf(options, file === undefined ? null : await readFile(file, "utf8"));
  const data = options["data"] as string;
  const { dataset, imagesDir } = await loadSplit(data, options["images"] as string | undefined);
  const { mapping, source, classes } = samplesOf(dataset, imagesDir);
  const names = mapping.classes.map(({ name }) => name);
  const info = pipeline.info();
  const yaml = target.replace(/\.png$/i, ".yaml");
  if (options["dry-run"] === true) {
    const images = Math.min(options["count"] as number, dataset.images.length);
    return reportDryRun({
      ...{ command: "augment-preview", config, output },
      plan: {
        decisions: info.trace.map(({ kind, text }) => ({ what: "transform", choice: kind, why: text })),
        steps: [`augment ${images} images ${options["variants"]} times each with ${info.total} transforms`],
        writes: [
          { path: target, what: "contact sheet" },
          { path: yaml, what: "the pipeline" },
        ],
      },
    });
  }
  for (const decision of info.trace) output.line(`${decision.kind.padEnd(8)} ${decision.text}`);
  for (const warning of info.warnings) output.line(`warning  ${warning}`);
  const variants = options["variants"] as number;
  const chosen = chooseImages(dataset, options["count"] as number);
  const rows: Tile[][] = [];
  let kept = 0;
  let dropped = 0;
  for (const [done, id] of chosen.entries()) {
    signal.throwIfAborted();
    const index = dataset.images.findIndex((image) => image.id === id);
    const sample = await source.load(index);
    const original = dataset.images[index]!.file_name;
    const row = [await tileOf(sample, names, [original, `${sample.bboxes!.length} objects`])];
    for (let epoch = 0; epoch < variants; epoch++) {
      const result = await pipeline(sample, { index, epoch, donors: donorsFrom(source, index, { classes }) });
      row.push(await tileOf(result, names, captionOf(result)));
      kept += result.kept.length;
      dropped += result.dropped.length;
    }
    rows.push(row);
    output.progress({ label: "augmenting", done: done + 1, total: chosen.length });
  }
  const title = [
    `${info.total} transforms, intensity ${pipeline.plan.intensity}, seed ${pipeline.plan.seed}`,
    info.types.join(", "),
  ];
  writeFileAtomic(target, await sheetOf(rows, title));
  writeFileAtomic(yaml, pipeline.toYAML());
  output.line(`objects  ${kept} kept, ${dropped} dropped in ${chosen.length * variants} variants`);
  output.line(`written  ${target}, ${yaml}`);
  output.result({
    sheet: target,
    pipeline: yaml,
    transforms: info.types,
    trace: info.trace,
    kept,
    dropped,
    images: chosen.length,
    variants,
  });
}
