import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { CheckpointFormatError } from "../errors.js";
import { readSafetensors } from "../safetensors/read.js";
import { type ReadTorchCheckpointOptions, readTorchCheckpoint } from "../torch-checkpoint/read.js";
import { openSharded } from "./open-sharded.js";
import type { WeightFile } from "./weight-file.js";

/** What a model folder may hold, best first. */
const NAMES = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"];

/**
 * Opens weights of any format that is read here: a safetensors file, an index of shards, a PyTorch checkpoint, or a Hugging Face model folder
 * (safetensors before `pytorch_model.bin`). Files are told apart by their end (`.safetensors`, `.json`); everything else is read as a checkpoint.
 *
 * @param options - for checkpoints
 * @throws as {@link readSafetensors}, {@link openSharded} and {@link readTorchCheckpoint}; {@link CheckpointFormatError} for a folder without weights
 */
export function openWeights(path: string, options: ReadTorchCheckpointOptions = {}): WeightFile {
  if (statSync(path).isDirectory()) {
    const name = NAMES.find((candidate) => existsSync(join(path, candidate)));
    if (name === undefined)
      throw new CheckpointFormatError({ path, reason: `the folder holds none of ${NAMES.join(", ")}` });
    return openWeights(join(path, name), options);
  }
  if (path.endsWith(".safetensors")) return readSafetensors(path);
  if (path.endsWith(".json")) return openSharded(path);
  return readTorchCheckpoint(path, options);
}
