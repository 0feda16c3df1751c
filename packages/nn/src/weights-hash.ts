import { createHash } from "node:crypto";
import { Module } from "./module.js";
import { moduleWeights } from "./state-dict.js";
import type { TensorSource } from "./weights/tensor-source.js";

/**
 * SHA-256 over names, shapes and little-endian values of a module's state in name order: tells whether an adapter or a cache entry belongs to
 * these weights. Independent of file format details; one tensor is copied at a time.
 */
export function weightsHash(of: Module | TensorSource): string {
  const source = of instanceof Module ? moduleWeights(of) : of;
  const hash = createHash("sha256");
  for (const name of source.names().sort((a, b) => (a < b ? -1 : 1))) {
    const { shape, data } = source.tensor(name);
    hash.update(`${name}[${shape.join(",")}]`);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}
