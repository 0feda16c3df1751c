import { ExportError } from "../errors.js";
import { type ModelMetadata, parseMetadata } from "../runtime/metadata.js";
import { type PythonValue, parsePythonLiteral, toPythonLiteral } from "../runtime/python-literal.js";

/** Keys whose ONNX form is a Python literal. */
const LITERALS: ReadonlySet<string> = new Set(["stride", "batch", "imgsz", "names", "args", "channels", "kpt_shape"]);

function toJson(value: PythonValue): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [String(key), toJson(item)]));
  return Array.isArray(value) ? value.map(toJson) : value;
}

function toPython(value: unknown): PythonValue {
  if (Array.isArray(value)) return value.map(toPython);
  if (typeof value !== "object" || value === null) return value as PythonValue;
  return new Map(
    Object.entries(value).map(([key, item]): [number | string, PythonValue] => [
      /^\d+$/.test(key) ? Number(key) : key,
      toPython(item),
    ]),
  );
}

/** Metadata of an ONNX model as JSON values: `names` an object with the class ids as keys, `imgsz` a list. */
export function jsonMetadata(props: readonly { key: string; value: string }[]): Record<string, unknown> {
  return Object.fromEntries(
    props.map(({ key, value }) => [key, LITERALS.has(key) ? toJson(parsePythonLiteral(value)) : value]),
  );
}

/**
 * What a detector needs to know of a TFLite model, from its `metadata.json`.
 * @throws ExportError `METADATA_MISSING` naming the key that is absent or unreadable
 */
export function readTfliteMetadata(metadata: Readonly<Record<string, unknown>> | undefined): ModelMetadata {
  if (metadata === undefined) {
    throw new ExportError({
      code: "METADATA_MISSING",
      message: "The TFLite model carries no metadata.json after its flatbuffer. Export it with exportTflite().",
      details: { key: "metadata.json" },
    });
  }
  const raw = Object.fromEntries(
    Object.entries(metadata).map(([key, value]) => [
      key,
      typeof value === "string" ? value : toPythonLiteral(toPython(value)),
    ]),
  );
  return parseMetadata(raw);
}
