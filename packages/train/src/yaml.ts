import type { JsonObject, JsonValue } from "./config.js";

/** Plain scalars that every YAML version reads as this string; everything else is quoted. */
const PLAIN = /^[A-Za-z_/.][A-Za-z0-9_./-]*$/;
const RESERVED = /^(?:true|false|yes|no|on|off|y|n|null|\.nan|[-+]?\.inf|\.+)$/i;

function scalar(value: null | boolean | number | string): string {
  if (typeof value === "number") {
    if (Number.isNaN(value)) return ".nan";
    if (!Number.isFinite(value)) return value > 0 ? ".inf" : "-.inf";
    const text = String(value);
    // YAML 1.1 readers take "1e-7" for a string; "1.0e-7" is a number everywhere.
    return /^-?\d+e/.test(text) ? text.replace("e", ".0e") : text;
  }
  if (typeof value === "string") return PLAIN.test(value) && !RESERVED.test(value) ? value : JSON.stringify(value);
  return String(value);
}

const isScalar = (value: JsonValue): value is null | boolean | number | string =>
  value === null || typeof value !== "object";

function block(value: JsonValue, indent: string): string {
  if (isScalar(value)) return ` ${scalar(value)}\n`;
  if (Array.isArray(value)) {
    if (value.every(isScalar)) return ` [${value.map((item) => scalar(item as string)).join(", ")}]\n`;
    return `\n${(value as readonly JsonValue[])
      .map((item) => `${indent}-${isScalar(item) ? ` ${scalar(item)}\n` : block(item, `${indent}  `)}`)
      .join("")}`;
  }
  const entries = Object.entries(value as JsonObject);
  if (entries.length === 0) return " {}\n";
  return `\n${entries.map(([key, item]) => `${indent}${scalar(key)}:${block(item, `${indent}  `)}`).join("")}`;
}

/**
 * JSON values as YAML in block style, keys in the given order.
 * @example toYaml({ lr: 1e-7, names: ["a b", "c"] }) // 'lr: 1.0e-7\nnames: ["a b", c]\n'
 */
export function toYaml(value: JsonObject): string {
  return Object.entries(value)
    .map(([key, item]) => `${scalar(key)}:${block(item, "  ")}`)
    .join("");
}
