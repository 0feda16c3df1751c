import type { Model } from "@seg/onnx";
import { ExportError } from "../errors.js";
import { parsePythonLiteral } from "./python-literal.js";

/** What a detector reads from a model's `metadata_props`. */
export interface ModelMetadata {
  task: "detect" | "segment";
  /** Network input `[height, width]` in pixels. */
  imgsz: readonly [height: number, width: number];
  /** Class names by class index. */
  names: readonly string[];
  /** Every entry as written. */
  raw: Readonly<Record<string, string>>;
}

/**
 * Reads `task`, `imgsz` and `names` of the model's metadata.
 * @throws ExportError `METADATA_MISSING` naming the key that is absent or unreadable
 */
export function readMetadata(model: Model): ModelMetadata {
  return parseMetadata(Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value])));
}

/**
 * Reads `task`, `imgsz` and `names` from metadata entries, values as Python literals.
 * @throws ExportError `METADATA_MISSING` naming the key that is absent or unreadable
 */
export function parseMetadata(raw: Readonly<Record<string, string>>): ModelMetadata {
  const missing = (key: string, cause?: unknown): never => {
    throw new ExportError({
      code: "METADATA_MISSING",
      message: `Metadata ${key} is ${raw[key] === undefined ? "absent" : `unreadable (${raw[key]})`}. Export the model with exportOnnx().`,
      details: { key },
      cause,
    });
  };
  const read = (key: string): unknown => {
    const text = raw[key];
    if (text === undefined) return missing(key);
    try {
      return parsePythonLiteral(text);
    } catch (error) {
      return missing(key, error);
    }
  };
  const size = read("imgsz");
  const imgsz = typeof size === "number" ? [size, size] : size;
  if (!Array.isArray(imgsz) || imgsz.length !== 2 || !imgsz.every((side) => Number.isInteger(side) && side > 0)) {
    return missing("imgsz");
  }
  const names = read("names");
  if (!(names instanceof Map)) return missing("names");
  const list: string[] = [];
  for (let id = 0; id < names.size; id++) {
    const name: unknown = names.get(id);
    if (typeof name !== "string") return missing("names");
    list.push(name);
  }
  const task = raw["task"];
  if (task !== "detect" && task !== "segment") return missing("task");
  return { task, imgsz: [imgsz[0], imgsz[1]], names: list, raw };
}
