import { createHash } from "node:crypto";
import { type Module, stateDict } from "@seg/nn";

/**
 * SHA-256 over names, shapes and float32 bytes of a module's state in name order: tells whether an adapter or a cache entry belongs to these
 * weights. Independent of file format details.
 */
export function weightsHash(module: Module): string {
  const hash = createHash("sha256");
  const entries = [...stateDict(module)].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, { shape, data }] of entries) {
    hash.update(`${name}[${shape.join(",")}]`);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}
