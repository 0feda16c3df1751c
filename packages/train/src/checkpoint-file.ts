import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { encodeSafetensors, readSafetensors, type StateDict, type StateTensor } from "@seg/nn";
import type { JsonObject } from "./config.js";
import type { OptimizerState } from "./optimizer.js";

/** `format` of the metadata. */
export const CHECKPOINT_FORMAT = "seg-checkpoint-1";

/** Tensors of a checkpoint by section; the names in the file are `model/<key>`, `ema/<key>`, `optim/<slot>/<key>`, `projector/<key>`. */
export interface CheckpointTensors {
  readonly model: StateDict;
  readonly ema?: StateDict | null;
  readonly optim?: OptimizerState | null;
  readonly projector?: StateDict | null;
}

/** Counters and trackers of a checkpoint, in `state` of the metadata. Infinities are null there, 64-bit integers strings. */
export interface CheckpointState extends JsonObject {
  /** Finished epochs. */
  readonly epoch: number;
  /** Batches seen. */
  readonly step: number;
  readonly bit_exact: boolean;
}

const SEAL = `"sha256":"${"0".repeat(64)}"`;

/**
 * Bytes of a checkpoint. `sha256` of the metadata is the SHA-256 of the whole file with that field's digits set to zero, so a file proves
 * itself without an index that a crash could leave behind.
 */
export function encodeCheckpoint({
  tensors,
  state,
}: {
  tensors: CheckpointTensors;
  state: CheckpointState;
}): Uint8Array {
  const dict = new Map<string, StateTensor>();
  for (const section of ["model", "ema", "projector"] as const) {
    for (const [key, tensor] of tensors[section] ?? []) dict.set(`${section}/${key}`, tensor);
  }
  for (const [key, data] of tensors.optim ?? []) {
    // A slot has the shape of its parameter, so that other tools can read it; counters are vectors of one.
    const name = key.slice(key.indexOf("/") + 1);
    const parameter = tensors.model.get(name) ?? tensors.projector?.get(name.replace(/^projector\./, ""));
    const shape = parameter && parameter.data.length === data.length ? parameter.shape : [data.length];
    dict.set(`optim/${key}`, { dtype: "F32", shape, data });
  }
  const metadata = {
    format: CHECKPOINT_FORMAT,
    sha256: "0".repeat(64),
    state: JSON.stringify(state, (_key, value: unknown) => (typeof value === "bigint" ? value.toString() : value)),
  };
  const bytes = encodeSafetensors(dict, { metadata });
  const at = findSeal(bytes);
  if (at === null) throw new Error("The encoder changed the metadata; the checksum has no place.");
  bytes.set(Buffer.from(createHash("sha256").update(bytes).digest("hex"), "latin1"), at);
  return bytes;
}

/** Bytes before the tensor data. */
export function headerBytes(bytes: Uint8Array): number {
  if (bytes.length < 8) return bytes.length;
  const length = Buffer.from(bytes.buffer, bytes.byteOffset, 8).readBigUInt64LE();
  return length > BigInt(bytes.length - 8) ? bytes.length : 8 + Number(length);
}

/** Position of the 64 digits of the checksum. */
function findSeal(bytes: Uint8Array): number | null {
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, headerBytes(bytes));
  // Quotes inside `state` are escaped, so this can only be the metadata key. Keys are sorted: it precedes every long field.
  const key = header.indexOf(SEAL.slice(0, 10), 0, "latin1");
  return key < 0 ? null : key + 10;
}

/** Why the bytes are not a valid checkpoint, or null. */
function problemOf(bytes: Uint8Array): string | null {
  const at = findSeal(bytes);
  if (at === null) return "no checksum in the header";
  const digits = Buffer.from(bytes.subarray(at, at + 64)).toString("latin1");
  const blank = Buffer.alloc(64, "0", "latin1");
  const actual = createHash("sha256")
    .update(bytes.subarray(0, at))
    .update(blank)
    .update(bytes.subarray(at + 64))
    .digest("hex");
  return actual === digits ? null : "SHA-256 mismatch";
}

/** Decoded {@link encodeCheckpoint}; `problem` is a reason in words. */
export type DecodedCheckpoint =
  | { readonly ok: true; readonly tensors: CheckpointTensors; readonly state: CheckpointState }
  | { readonly ok: false; readonly problem: string };

/** Reads and verifies a checkpoint file. Damage is a result, not an exception. */
export function readCheckpoint(path: string): DecodedCheckpoint {
  try {
    const bytes = readFileSync(path);
    const problem = problemOf(bytes);
    if (problem !== null) return { ok: false, problem };
    const file = readSafetensors(bytes);
    if (file.metadata["format"] !== CHECKPOINT_FORMAT) {
      return { ok: false, problem: `format "${file.metadata["format"] ?? ""}", expected "${CHECKPOINT_FORMAT}"` };
    }
    const sections = { model: new Map(), ema: new Map(), projector: new Map() } as Record<string, StateDict>;
    const optim: OptimizerState = new Map();
    for (const [name, tensor] of file.toStateDict()) {
      const slash = name.indexOf("/");
      const section = name.slice(0, slash);
      const key = name.slice(slash + 1);
      if (section === "optim") optim.set(key, tensor.data as Float32Array);
      else sections[section]?.set(key, tensor);
    }
    const some = <T extends ReadonlyMap<string, unknown>>(map: T) => (map.size > 0 ? map : null);
    return {
      ok: true,
      state: JSON.parse(file.metadata["state"] ?? "null") as CheckpointState,
      tensors: {
        model: sections["model"]!,
        ema: some(sections["ema"]!),
        optim: some(optim),
        projector: some(sections["projector"]!),
      },
    };
  } catch (error) {
    return { ok: false, problem: error instanceof Error ? error.message : String(error) };
  }
}

/** Epoch and step of a checkpoint from its header alone, unverified; null when the file is no checkpoint. */
export function peekCheckpoint(path: string): { epoch: number; step: number; damaged: boolean } | null {
  try {
    const { metadata } = readSafetensors(path);
    if (metadata["format"] !== CHECKPOINT_FORMAT) return null;
    const { epoch, step } = JSON.parse(metadata["state"] ?? "null") as CheckpointState;
    return { epoch, step, damaged: false };
  } catch {
    return { epoch: -1, step: -1, damaged: true };
  }
}
