import { open, readFile, stat } from "node:fs/promises";
import { extname, join, posix, relative, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { CocoFileNotFoundError } from "../errors.js";
import { listSome } from "../findings.js";
import { FormatError } from "./errors.js";
import { isImageName, listFiles, splitPath } from "./image-files.js";
import { METADATA_FILE } from "./import-imagefolder.js";
import type { DatasetFormat } from "./imported.js";
import { xmlRootName } from "./xml-tree.js";
import { looksLikeDataYaml } from "./yolo/data-yaml.js";
import { NAME_FILES } from "./yolo/import-yolo.js";

/** What a path holds. `files` are relative to `folder`; COCO documents and CVAT exports are one file. */
export interface DetectedFormat {
  readonly format: Exclude<DatasetFormat, "lvis">;
  readonly folder: string;
  readonly files: readonly string[];
}

/** Bytes looked at to tell a file's kind: the top-level keys of COCO writers and the first tag stand well before this. */
const HEAD_BYTES = 64 * 1024;
/** A picture inside a LabelMe file stands before its shapes; beyond this it is none. */
const MAX_LABELME_BYTES = 64 * 1024 * 1024;
/** Files of one kind looked at in a folder: all alike beyond this, and the importer reads every one anyway. */
const MAX_SAMPLED = 20;

const FORMAT_NAMES: Readonly<Record<DetectedFormat["format"], string>> = {
  coco: "COCO JSON",
  yolo: "YOLO",
  voc: "Pascal VOC XML",
  labelme: "LabelMe JSON",
  cvat: "CVAT XML",
  imagefolder: "image folder",
};

/** The format in words. */
export const formatName = (format: DatasetFormat): string => (format === "lvis" ? "LVIS JSON" : FORMAT_NAMES[format]);

/**
 * Recognises the format of a file or folder by what is in it, never by a given mode: the root element of XML, the keys of JSON, a
 * data.yaml with names, label rows beside images.
 *
 * @throws CocoFileNotFoundError
 * @throws FormatError `unknown`, `ambiguous` (naming what was found) or `unsupported`
 * @example (await detectFormat("export/annotations.xml")).format // "cvat"
 */
export async function detectFormat(path: string): Promise<DetectedFormat> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new CocoFileNotFoundError({ file: path, cause });
  });
  return info.isDirectory() ? detectFolder(path) : detectFile(path);
}

async function detectFile(path: string): Promise<DetectedFormat> {
  const { folder, name } = splitPath(path);
  const kind = await kindOf(path);
  switch (kind) {
    case "coco":
    case "voc":
    case "labelme":
    case "cvat":
      return { format: kind, folder, files: [name] };
    case "yolo-yaml":
      return { format: "yolo", folder, files: [name] };
    case "metadata":
      return { format: "imagefolder", folder, files: [name] };
    case "label-rows":
      throw unknown(path, "is a single YOLO label file. Give the folder with the images and all labels.");
    case "results":
      throw unknown(path, "is a list of detections, not annotations. seg evaluate and evaluate() take it.");
    case "zip":
      throw new FormatError({
        reason: "unsupported",
        file: path,
        message: `${path} is an archive. Unpack it and give the folder.`,
      });
    case "image":
      throw unknown(path, "is a picture. Give the annotation file or the folder.");
    default:
      throw unknown(
        path,
        "is none of COCO, LVIS or LabelMe JSON, VOC or CVAT XML, or YOLO data.yaml. Give the file that the labelling tool exported.",
      );
  }
}

async function detectFolder(path: string): Promise<DetectedFormat> {
  const folder = resolve(path);
  const files = await listFiles(folder);
  const found: DetectedFormat[] = [];
  const configs: string[] = [];
  const metadata = files.filter((file) => posix.basename(file) === METADATA_FILE);
  if (metadata.length > 0) found.push({ format: "imagefolder", folder, files: metadata });
  for (const file of files.filter((name) => /\.ya?ml$/i.test(name))) {
    if (looksLikeDataYaml(await readFile(join(folder, file), "utf8"))) configs.push(file);
  }
  // One description of one dataset: the outermost, then the usual name.
  const yaml = configs.toSorted(
    (a, b) => depth(a) - depth(b) || Number(b.endsWith("data.yaml")) - Number(a.endsWith("data.yaml")),
  )[0];
  const rivals = configs.filter((file) => file !== yaml && yaml !== undefined && depth(file) === depth(yaml));
  if (rivals.length > 0) throw several(path, [yaml!, ...rivals]);
  if (yaml !== undefined) found.push({ format: "yolo", folder, files: [yaml] });

  const xml = await sortByKind(
    folder,
    files.filter((file) => extname(file).toLowerCase() === ".xml"),
  );
  if (xml.has("voc")) found.push({ format: "voc", folder, files: xml.get("voc")! });
  const cvat = xml.get("cvat") ?? [];
  if (cvat.length > 1) throw several(path, cvat);
  if (cvat.length === 1) found.push({ format: "cvat", folder, files: cvat });

  const json = await sortByKind(
    folder,
    files.filter((file) => /\.json(\.gz)?$/i.test(file)),
  );
  if (json.has("labelme")) found.push({ format: "labelme", folder, files: json.get("labelme")! });
  const coco = json.get("coco") ?? [];
  if (coco.length > 1) throw several(path, coco);
  if (coco.length === 1) found.push({ format: "coco", folder, files: coco });

  if (found.length === 0 && (await hasLabelRows(folder, files))) found.push({ format: "yolo", folder, files: [] });
  if (found.length === 1) return found[0]!;
  if (found.length > 1) {
    const kinds = found.map(({ format, files: [first] }) => `${FORMAT_NAMES[format]} (${first})`);
    throw new FormatError({
      reason: "ambiguous",
      file: path,
      message: `${path} holds data of several formats: ${kinds.join(", ")}. Give the file or folder of one of them.`,
    });
  }
  const images = files.filter(isImageName).length;
  throw unknown(
    path,
    `holds no annotations of a known format (COCO, LVIS, YOLO, Pascal VOC, LabelMe, CVAT, metadata.jsonl) among ${files.length} files, ${images} of them pictures. Give the folder or the file that the labelling tool exported.`,
  );
}

type Kind =
  | "coco"
  | "voc"
  | "cvat"
  | "labelme"
  | "yolo-yaml"
  | "metadata"
  | "label-rows"
  | "results"
  | "zip"
  | "image"
  | "other";

/** Groups files by kind. A large folder is sampled: when its first files are all of one kind, the rest counts as that kind too. */
async function sortByKind(folder: string, files: readonly string[]): Promise<Map<Kind, string[]>> {
  const kinds = new Map<Kind, string[]>();
  const sampled = files.slice(0, MAX_SAMPLED);
  for (const file of sampled) {
    const kind = await kindOf(join(folder, file));
    const list = kinds.get(kind);
    if (list === undefined) kinds.set(kind, [file]);
    else list.push(file);
  }
  const rest = files.slice(MAX_SAMPLED);
  if (rest.length === 0) return kinds;
  const [kind] = kinds.keys();
  if (kinds.size === 1 && (kind === "voc" || kind === "labelme")) {
    kinds.get(kind)!.push(...rest);
    return kinds;
  }
  for (const file of rest) {
    const own = await kindOf(join(folder, file));
    const list = kinds.get(own);
    if (list === undefined) kinds.set(own, [file]);
    else list.push(file);
  }
  return kinds;
}

async function kindOf(path: string): Promise<Kind> {
  const head = await readHead(path);
  if (head[0] === 0x50 && head[1] === 0x4b) return "zip";
  if (isImageName(path)) return "image";
  let bytes = head;
  if (head[0] === 0x1f && head[1] === 0x8b) {
    try {
      // Only the beginning is needed; Z_SYNC_FLUSH accepts that the end is missing.
      bytes = gunzipSync(head, { finishFlush: 2 });
    } catch {
      return "other";
    }
  }
  const isUtf16 = bytes[0] === 0xff && bytes[1] === 0xfe;
  const text = new TextDecoder(isUtf16 ? "utf-16le" : "utf-8").decode(bytes).trimStart();
  if (text.startsWith("<")) {
    const root = xmlRootName(text);
    return root === "annotation" ? "voc" : root === "annotations" ? "cvat" : "other";
  }
  if (text.startsWith("[")) return posixName(path).endsWith(".json") ? "results" : "other";
  if (text.startsWith("{")) return posixName(path).endsWith(".jsonl") ? "metadata" : jsonKind(path, text);
  const extension = extname(path).toLowerCase();
  if (extension === ".yaml" || extension === ".yml") return looksLikeDataYaml(text) ? "yolo-yaml" : "other";
  return looksLikeLabelRows(text) ? "label-rows" : "other";
}

/** LabelMe by its list of shapes, COCO by one of its three lists. Where the beginning does not tell, the whole file does. */
async function jsonKind(path: string, head: string): Promise<Kind> {
  const early = keysKind(topLevelKeys(head));
  if (early !== "other") return early;
  const { size } = await stat(path);
  if (size <= HEAD_BYTES) return early;
  // No LabelMe file is that large; if it is no COCO either, the loader says what is missing.
  if (size > MAX_LABELME_BYTES) return "coco";
  return keysKind(topLevelKeys(await readFile(path, "utf8")));
}

function keysKind(keys: ReadonlySet<string>): Kind {
  if (keys.has("shapes")) return "labelme";
  if (keys.has("annotations") || keys.has("categories") || keys.has("images")) return "coco";
  return "other";
}

/** Keys of the outermost object as far as the text goes; tolerates a cut-off or broken text. */
export function topLevelKeys(text: string): Set<string> {
  const keys = new Set<string>();
  let depthNow = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (character === 0x7b || character === 0x5b) depthNow++;
    else if (character === 0x7d || character === 0x5d) depthNow--;
    else if (character === 0x22) {
      const start = ++at;
      while (at < text.length && text.charCodeAt(at) !== 0x22) at += text.charCodeAt(at) === 0x5c ? 2 : 1;
      if (depthNow !== 1) continue;
      let next = at + 1;
      while (next < text.length && text.charCodeAt(next) <= 0x20) next++;
      if (text.charCodeAt(next) === 0x3a) keys.add(text.slice(start, at));
    }
  }
  return keys;
}

async function hasLabelRows(folder: string, files: readonly string[]): Promise<boolean> {
  if (!files.some(isImageName)) return false;
  const texts = files.filter((file) => file.endsWith(".txt") && !NAME_FILES.includes(posix.basename(file)));
  const stems = new Set(files.filter(isImageName).map(stem));
  for (const file of texts.filter((path) => stems.has(stem(path))).slice(0, MAX_SAMPLED)) {
    if (looksLikeLabelRows(await readFile(join(folder, file), "utf8"))) return true;
  }
  return false;
}

/** A class index and at least four numbers in the first row. */
function looksLikeLabelRows(text: string): boolean {
  const columns = text.trim().split("\n")[0]!.trim().split(/\s+/);
  return (
    columns.length >= 5 &&
    Number.isInteger(Number(columns[0])) &&
    columns.every((column) => Number.isFinite(Number(column)))
  );
}

async function readHead(path: string): Promise<Uint8Array> {
  const handle = await open(path);
  try {
    const buffer = Buffer.alloc(HEAD_BYTES);
    const { bytesRead } = await handle.read(buffer, 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

const stem = (path: string): string => posix.basename(path).replace(/\.[^.]+$/, "");
const depth = (path: string): number => path.split("/").length;
const posixName = (path: string): string => path.toLowerCase().replace(/\.gz$/, "");

function several(path: string, files: readonly string[]): FormatError {
  return new FormatError({
    reason: "ambiguous",
    file: path,
    message: `${path} holds ${files.length} annotation files: ${listSome(files)}. Give one of them: ${relative(process.cwd(), join(resolve(path), files[0]!))}.`,
  });
}

function unknown(path: string, what: string): FormatError {
  return new FormatError({ reason: "unknown", file: path, message: `${path} ${what}` });
}
