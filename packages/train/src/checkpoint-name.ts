import { ConfigError } from "./errors.js";

const FIELD = /\{([^{}:]+)(?::([^{}]*))?\}/g;

/** Writes `value` as `0Nd`, `.Nf` or `.Ne` asks; plainly without a specification. Values that are not finite become `nan`. */
function formatValue(value: number | undefined, spec: string | undefined, format: string): string {
  const match = spec === undefined ? null : /^(?:0(\d+)d|\.(\d+)([fe]))$/.exec(spec);
  if (spec !== undefined && match === null) {
    throw new ConfigError({
      key: "checkpoint_format",
      message: `checkpoint_format "${format}" has the specification ":${spec}", expected 0Nd, .Nf or .Ne.`,
    });
  }
  if (value === undefined || !Number.isFinite(value)) return "nan";
  if (match === null) return String(value);
  const [, width, digits, kind] = match;
  if (width !== undefined) return String(Math.round(value)).padStart(Number(width), "0");
  if (kind === "f") return value.toFixed(Number(digits));
  // Python writes at least two digits of exponent.
  return value.toExponential(Number(digits)).replace(/e([+-])(\d)$/, "e$10$2");
}

/**
 * File name of a checkpoint from a Python-like format.
 * @throws {@link ConfigError} for an unknown specification or a path separator
 * @example formatCheckpointName("epoch_{epoch:04d}_map{mAP50:.4f}.safetensors", { epoch: 7, mAP50: 0.5 }) // epoch_0007_map0.5000.safetensors
 */
export function formatCheckpointName(format: string, values: Readonly<Record<string, number>>): string {
  const name = format.replace(FIELD, (_, key: string, spec?: string) =>
    formatValue(Object.hasOwn(values, key) ? values[key] : undefined, spec, format),
  );
  if (/[/\\]/.test(name) || name === "" || name.startsWith(".")) {
    throw new ConfigError({
      key: "checkpoint_format",
      message: `checkpoint_format "${format}" gives "${name}", expected a plain file name without path separators or leading dot.`,
    });
  }
  return name;
}

/** Replaces `.pth` and `.pt`, which promise a Python pickle; adds the extension where there is none. */
export function safetensorsName(name: string): { name: string; replaced: boolean } {
  const replaced = /\.pth?$/.test(name);
  const stem = replaced ? name.replace(/\.pth?$/, "") : name.replace(/\.safetensors$/, "");
  return { name: `${stem}.safetensors`, replaced };
}
