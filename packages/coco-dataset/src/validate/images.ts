import { readdir, stat } from "node:fs/promises";
import { extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import type { CocoDataset, CocoImage } from "../document.js";
import type { RawFinding } from "./raw-finding.js";
import type { HealthThresholds } from "./thresholds.js";

/** What a decoder says about an image file. */
export interface ImageProbe {
  /** Stored size in pixels, before EXIF rotation. */
  readonly width: number;
  readonly height: number;
  /** EXIF orientation 1 to 8; from 5 on width and height change places when it is applied. */
  readonly orientation?: number;
  /** What is unusual about the stored pixels, for example `CMYK` or `16 bit`; empty for 8-bit RGB. */
  readonly mode?: readonly string[];
  /** Of 8-bit gray, longest side at most 256 px. */
  readonly gray?: { readonly mean: number; readonly deviation: number; readonly laplacianVariance: number };
}

/** Decodes an image completely; rejects when it cannot be decoded. `createImageProbe()` does it with sharp. */
export type ProbeImage = (path: string) => Promise<ImageProbe>;

const EXTENSIONS = new Set([".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"]);
/** Files looked at at once: enough to hide the disk, few enough for the decoders' memory. */
const CONCURRENCY = 4;

/** The file of an image, null when its name leads out of the folder: the document must not choose what is read. */
export function imagePath(root: string, fileName: string): string | null {
  const path = resolve(root, fileName);
  const inside = relative(root, path);
  return inside !== "" && !inside.startsWith(`..${sep}`) && inside !== ".." && !isAbsolute(inside) ? path : null;
}

/** Runs `visit` for every item, a few at a time. */
export async function forEachConcurrently<T>(
  items: Iterable<T>,
  visit: (item: T) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const queue = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = queue.next(); next.done !== true; next = queue.next()) {
      signal?.throwIfAborted();
      await visit(next.value);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

/** Findings about the files below `imagesDir`; sizes, decodability and looks only with `probeImage`. */
export async function imageFindings(input: {
  dataset: CocoDataset;
  imagesDir: string;
  probeImage: ProbeImage | null;
  limits: HealthThresholds;
  signal?: AbortSignal | undefined;
}): Promise<RawFinding[]> {
  const { dataset, probeImage, limits, signal } = input;
  const root = resolve(input.imagesDir);
  const missing: CocoImage[] = [];
  const corrupt: { image: CocoImage; reason: string }[] = [];
  const probes = new Map<CocoImage, ImageProbe>();
  const check = async (image: CocoImage) => {
    const path = imagePath(root, image.file_name);
    const info = path === null ? null : await stat(path).catch(() => null);
    if (path === null || info === null || !info.isFile()) {
      missing.push(image);
      return;
    }
    if (info.size === 0) {
      corrupt.push({ image, reason: "empty file" });
      return;
    }
    if (probeImage === null) return;
    try {
      probes.set(image, await probeImage(path));
    } catch (error) {
      corrupt.push({ image, reason: error instanceof Error ? error.message : String(error) });
    }
  };
  await forEachConcurrently(dataset.images, check, signal);

  const findings: RawFinding[] = [];
  const add = (code: string, severity: RawFinding["severity"], message: string, images: readonly CocoImage[]) => {
    if (images.length === 0) return;
    const sorted = images.toSorted((a, b) => a.id - b.id);
    findings.push({
      code,
      severity,
      layer: "images",
      message,
      ids: sorted.map((image) => image.id),
      files: sorted.map((image) => image.file_name),
      subject: "image",
    });
  };
  add("missing_file", "error", `Image files are not in ${root}`, missing);
  const reasons = [...new Set(corrupt.map(({ reason }) => reason))].sort().slice(0, 2).join("; ");
  add(
    "corrupt",
    "error",
    `Image files cannot be decoded (${reasons})`,
    corrupt.map(({ image }) => image),
  );
  addSizes(probes, add);
  addLooks(probes, limits, add);
  findings.push(...(await unreferenced(root, dataset)));
  return findings;
}

type Add = (code: string, severity: RawFinding["severity"], message: string, images: readonly CocoImage[]) => void;

/** Whose size the document states: that of the stored pixels, that after EXIF rotation, or neither. */
function statedSize(
  image: CocoImage,
  { width, height, orientation = 1 }: ImageProbe,
): "raw" | "oriented" | "both" | "neither" {
  const isRaw = image.width === width && image.height === height;
  const isTurned = orientation >= 5 ? image.width === height && image.height === width : isRaw;
  return isRaw && isTurned ? "both" : isRaw ? "raw" : isTurned ? "oriented" : "neither";
}

function addSizes(probes: ReadonlyMap<CocoImage, ImageProbe>, add: Add): void {
  const entries = [...probes].sort(([a], [b]) => a.id - b.id);
  const wrong = entries.filter(([image, probe]) => statedSize(image, probe) === "neither");
  const example = wrong[0];
  if (example !== undefined) {
    const [image, { width, height }] = example;
    const sizes = `${image.file_name} is ${width}x${height}, the document says ${image.width}x${image.height}`;
    add(
      "dim_mismatch",
      "error",
      `Image sizes differ from the document (${sizes})`,
      wrong.map(([item]) => item),
    );
  }
  const turned = entries.filter(([, { orientation = 1 }]) => orientation !== 1);
  const policies = new Set(turned.map(([image, probe]) => statedSize(image, probe)));
  const policy =
    policies.has("raw") && policies.has("oriented")
      ? "mixed: some annotations follow the stored pixels, some the turned ones"
      : policies.has("raw")
        ? "raw: do not apply EXIF"
        : policies.has("oriented")
          ? "oriented: apply EXIF before using the annotations"
          : "not told by the sizes: look at a preview";
  add(
    "exif_orientation",
    "warn",
    `Image files carry an EXIF rotation; orientationPolicy by the document's sizes is ${policy}`,
    turned.map(([image]) => image),
  );
}

function addLooks(probes: ReadonlyMap<CocoImage, ImageProbe>, limits: HealthThresholds, add: Add): void {
  const where = (test: (probe: ImageProbe) => boolean) =>
    [...probes].filter(([, probe]) => test(probe)).map(([image]) => image);
  const modes = [...new Set([...probes.values()].flatMap(({ mode = [] }) => mode))].sort();
  add(
    "unusual_mode",
    "info",
    `Images are not 8-bit RGB (${modes.join(", ")}); they are converted when they are read`,
    where(({ mode = [] }) => mode.length > 0),
  );
  const gray = (test: (values: NonNullable<ImageProbe["gray"]>) => boolean) =>
    where((probe) => probe.gray !== undefined && test(probe.gray));
  const isPlain = ({ deviation }: NonNullable<ImageProbe["gray"]>) => deviation < limits.informationDeviation;
  // What shows nothing is dark, light and blurry by itself.
  add("low_information", "warn", "Images show almost one colour", gray(isPlain));
  add(
    "blurry",
    "warn",
    "Images look out of focus",
    gray((values) => !isPlain(values) && values.laplacianVariance < limits.blurVariance),
  );
  add(
    "dark",
    "warn",
    "Images are almost black",
    gray((values) => !isPlain(values) && values.mean < limits.darkMean),
  );
  add(
    "light",
    "warn",
    "Images are almost white",
    gray((values) => !isPlain(values) && values.mean > limits.lightMean),
  );
}

async function unreferenced(root: string, dataset: CocoDataset): Promise<RawFinding[]> {
  const known = new Set(dataset.images.map((image) => resolve(root, image.file_name)));
  const entries = await readdir(root, { recursive: true }).catch(() => []);
  const files = entries
    .filter((name) => EXTENSIONS.has(extname(name).toLowerCase()) && !known.has(join(root, name)))
    .sort();
  if (files.length === 0) return [];
  return [
    {
      code: "unreferenced_file",
      severity: "info",
      layer: "images",
      message: "Image files that the document does not mention",
      ids: [],
      files,
      count: files.length,
      subject: "none",
    },
  ];
}
