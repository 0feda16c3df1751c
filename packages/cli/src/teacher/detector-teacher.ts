import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type GroundingDino, loadGroundingDino, loadTeachers, pretrainedGroundingDinoDirectory } from "@seg/teachers";
import { CommandError } from "../errors.js";

/** Name under which the small Grounding DINO of this repository is asked for. */
export const EMBEDDED_GROUNDING_DINO = "grounding-dino-tiny-synthetic";

/** What `train-teacher` leaves in `teachers/grounding_dino.json`. */
export interface GroundingDinoRecord {
  readonly version: 1;
  /** Folder of the base weights, relative to the record, or the name of an embedded model. */
  readonly base: string;
  /** Folder of the adapter, relative to the record; null when `base` was trained whole. */
  readonly adapter: string | null;
  /** Phrase of every class, in class order. */
  readonly phrases: readonly string[];
}

export const groundingDinoRecordFile = (experiment: string): string =>
  join(experiment, "teachers", "grounding_dino.json");

/**
 * Folder of Grounding DINO weights: a path, or the name of the model that comes with @seg/teachers.
 * @throws {@link CommandError} `cli/grounding-dino-not-found`
 */
export function groundingDinoDirectory(name: string): string {
  const folder = name === EMBEDDED_GROUNDING_DINO ? pretrainedGroundingDinoDirectory() : resolve(name);
  if (existsSync(join(folder, "config.json"))) return folder;
  throw new CommandError({
    code: "cli/grounding-dino-not-found",
    message: `No Grounding DINO in ${folder}: give a folder with config.json, weights and tokenizer.json, or ${EMBEDDED_GROUNDING_DINO}.`,
  });
}

/** What `train-teacher` recorded of an experiment's Grounding DINO, and the folder of its base weights; null where none was trained. */
export function readGroundingDinoRecord(experiment: string): { record: GroundingDinoRecord; base: string } | null {
  const file = groundingDinoRecordFile(experiment);
  if (!existsSync(file)) return null;
  const record = JSON.parse(readFileSync(file, "utf8")) as GroundingDinoRecord;
  const base = groundingDinoDirectory(
    record.base === EMBEDDED_GROUNDING_DINO ? record.base : resolve(dirname(file), record.base),
  );
  return { record, base };
}

/** The adapted Grounding DINO of an experiment with its adapter merged, or null where none was trained. */
export function loadAdaptedDetector(
  experiment: string,
): { model: GroundingDino; base: string; sizeBytes: number; record: GroundingDinoRecord } | null {
  const read = readGroundingDinoRecord(experiment);
  if (read === null) return null;
  const { record, base } = read;
  const folder = dirname(groundingDinoRecordFile(experiment));
  const groundingDino =
    record.adapter === null
      ? loadGroundingDino(base)
      : loadTeachers(folder, { groundingDinoBase: base, only: ["grounding_dino"] }).groundingDino;
  if (groundingDino === undefined) return null;
  const weights = [join(base, "model.safetensors")];
  if (record.adapter !== null) weights.push(join(folder, record.adapter, "adapter_model.safetensors"));
  const sizeBytes = weights.reduce((sum, path) => sum + (existsSync(path) ? statSync(path).size : 0), 0);
  return { model: groundingDino, base, sizeBytes, record };
}
