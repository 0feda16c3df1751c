import { createHash } from "node:crypto";

/** Bumped when a kernel's result changes, so that caches made by older code are not mixed in. */
export const KERNEL_VERSION = 1;

/** JSON with sorted keys at every depth: equal values give equal text. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

const hashes = new Map<string, string>();
const CACHE_ENTRIES = 256;

/**
 * SHA-256 (64 hex digits) of the canonical JSON of a configuration, or of one model's options, together with the kernel version. The order
 * of keys and comments of a YAML file do not change it.
 */
export function configHash(config: object): string {
  const text = canonicalJson([KERNEL_VERSION, config]);
  let hash = hashes.get(text);
  if (hash === undefined) {
    hash = createHash("sha256").update(text).digest("hex");
    if (hashes.size >= CACHE_ENTRIES) hashes.clear();
    hashes.set(text, hash);
  }
  return hash;
}
