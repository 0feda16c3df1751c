import { readdir, stat } from "node:fs/promises";
import { extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import type { CocoDataset, CocoImage } from "../document.js";
import type { RawFinding } from "./raw-finding.js";

/** Decodes an image completely and gives its stored size in pixels (before EXIF rotation); rejects when it cannot be decoded. */
export type ProbeImage = (path: string) => Promise<{ readonly width: number; readonly height: number }>;

const EXTENSIONS = new Set([".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"]);
/** Files looked at at once: enough to hide the disk, few enough for the decoders' memory. */
const CONCURRENCY = 4;

/** Findings about the files below `imagesDir`; sizes and decodability only with `probeImage`. */
export async function imageFindings(input: {
  dataset: CocoDataset;
  imagesDir: string;
  probeImage: ProbeImage | null;
}): Promise<RawFinding[]> {
  const { dataset, probeImage } = input;
  const root = resolve(input.imagesDir);
  const missing: CocoImage[] = [];
  const corrupt: { image: CocoImage; reason: string }[] = [];
  const mismatched: { image: CocoImage; actual: string }[] = [];

  const check = async (image: CocoImage) => {
    const path = resolve(root, image.file_name);
    const inside = relative(root, path);
    // A name that leads out of the folder is not looked up: the document must not choose what is read.
    const isInside = inside !== "" && !inside.startsWith(`..${sep}`) && inside !== ".." && !isAbsolute(inside);
    const info = isInside ? await stat(path).catch(() => null) : null;
    if (info === null || !info.isFile()) {
      missing.push(image);
      return;
    }
    if (info.size === 0) {
      corrupt.push({ image, reason: "empty file" });
      return;
    }
    if (probeImage === null) return;
    try {
      const { width, height } = await probeImage(path);
      if (width !== image.width || height !== image.height) mismatched.push({ image, actual: `${width}x${height}` });
    } catch (error) {
      corrupt.push({ image, reason: error instanceof Error ? error.message : String(error) });
    }
  };
  const queue = dataset.images.values();
  const worker = async () => {
    for (const image of queue) await check(image);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));

  const findings: RawFinding[] = [];
  const add = (code: string, severity: "error" | "info", message: string, images: readonly CocoImage[]) => {
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
  const example = mismatched.toSorted((a, b) => a.image.id - b.image.id)[0];
  if (example !== undefined) {
    const { image, actual } = example;
    const sizes = `${image.file_name} is ${actual}, the document says ${image.width}x${image.height}`;
    add(
      "dim_mismatch",
      "error",
      `Image sizes differ from the document (${sizes})`,
      mismatched.map((m) => m.image),
    );
  }
  findings.push(...(await unreferenced(root, dataset)));
  return findings;
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
