import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { type MaskTeacher, samMasks } from "@seg/distill";
import { loadTeachers, pretrainedSamDirectory, Sam, type SamZoom } from "@seg/teachers";
import { CommandError } from "../errors.js";

/** Name under which the small SAM of this repository is asked for. */
export const EMBEDDED_SAM = "sam-tiny-synthetic";

/** What `train-teacher` leaves in `teachers/sam.json`. */
export interface SamRecord {
  readonly version: 1;
  /** Folder of the base weights, relative to the record, or the name of an embedded model. */
  readonly base: string;
  /** Folder of the adapter, relative to the record; null when `base` was trained whole. */
  readonly adapter: string | null;
  /** How small objects are shown; absent or null: on whole images. */
  readonly zoom?: SamZoom | null;
}

export const samRecordFile = (experiment: string): string => join(experiment, "teachers", "sam.json");

/** Folder of SAM weights: a path, or the name of the model that comes with @seg/teachers. */
export function samDirectory(name: string): string {
  const folder = name === EMBEDDED_SAM ? pretrainedSamDirectory() : resolve(name);
  if (existsSync(join(folder, "config.json"))) return folder;
  throw new CommandError({
    code: "cli/sam-not-found",
    message: `No SAM in ${folder}: give a folder with config.json and model.safetensors, or ${EMBEDDED_SAM}.`,
  });
}

/** What `train-teacher` recorded of an experiment's SAM, and the folder of its base weights; null where none was trained. */
export function readSamRecord(experiment: string): { record: SamRecord; base: string } | null {
  const file = samRecordFile(experiment);
  if (!existsSync(file)) return null;
  const record = JSON.parse(readFileSync(file, "utf8")) as SamRecord;
  const base = samDirectory(record.base === EMBEDDED_SAM ? record.base : resolve(dirname(file), record.base));
  return { record, base };
}

const fileHash = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

/** The adapted SAM of an experiment with its adapter merged, or null where none was trained. */
export async function loadAdaptedSam(experiment: string): Promise<{
  sam: Sam;
  zoom: SamZoom | null;
  hash: string;
  sizeBytes: number;
  record: SamRecord;
  base: string;
} | null> {
  const read = readSamRecord(experiment);
  if (read === null) return null;
  const { record, base } = read;
  const folder = dirname(samRecordFile(experiment));
  const sam =
    record.adapter === null ? Sam.fromPretrained(base) : loadTeachers(folder, { samBase: base, only: ["sam"] }).sam;
  if (sam === undefined) return null;
  const files = [join(base, "model.safetensors")];
  if (record.adapter !== null) files.push(join(folder, record.adapter, "adapter_model.safetensors"));
  const zoom = record.zoom ?? null;
  const hash = createHash("sha256");
  for (const each of files) hash.update(fileHash(each));
  if (zoom !== null) hash.update(JSON.stringify(zoom));
  const sizeBytes = files.reduce((sum, each) => sum + statSync(each).size, 0);
  return { sam, zoom, hash: hash.digest("hex"), sizeBytes, record, base };
}

/** The adapted SAM behind the interface that distillation knows. */
export async function loadMaskTeacher(experiment: string): Promise<{ teacher: MaskTeacher; dispose(): void } | null> {
  const loaded = await loadAdaptedSam(experiment);
  if (loaded === null) return null;
  const { sam, zoom, hash, record } = loaded;
  const id = record.adapter === null ? basename(record.base) : `${basename(record.base)} + LoRA`;
  return { dispose: () => sam.dispose(), teacher: samMasks({ sam, zoom, id, hash }) };
}
