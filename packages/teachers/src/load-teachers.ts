import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadAdapter, mergeAndUnload } from "@seg/lora";
import type { Module } from "@seg/nn";
import { weightsHash } from "@seg/nn";
import { TeacherUnavailableError } from "./errors.js";
import type { GroundingDino } from "./grounding-dino/grounding-dino.js";
import { loadGroundingDino } from "./grounding-dino/load.js";
import { Sam } from "./sam/sam.js";

/** Teachers found in a folder; only those that are present. */
export interface LoadedTeachers {
  readonly groundingDino?: GroundingDino;
  readonly sam?: Sam;
}

/** Folder of the small SAM that this package brings along, pre-trained on the synthetic shape world. */
export function pretrainedSamDirectory(): string {
  return fileURLToPath(new URL("../pretrained/sam-tiny-synthetic", import.meta.url));
}

/** Folder of the small Grounding DINO that this package brings along, pre-trained on the synthetic shape world. */
export function pretrainedGroundingDinoDirectory(): string {
  return fileURLToPath(new URL("../pretrained/grounding-dino-tiny-synthetic", import.meta.url));
}

/** How {@link loadTeachers} finds and treats the models. */
export interface LoadTeachersOptions {
  /** Folder of the base model. @defaultValue {@link pretrainedSamDirectory} */
  readonly samBase?: string;
  /** Folder of the base model. @defaultValue {@link pretrainedGroundingDinoDirectory} */
  readonly groundingDinoBase?: string;
  /** Add the adapters to the weights in memory: same results, no extra cost. @defaultValue true */
  readonly merged?: boolean;
  /** Skip the check that the adapters were trained on exactly these base weights. @defaultValue false */
  readonly allowOtherBase?: boolean;
  /** Which teachers to look for. @defaultValue both */
  readonly only?: readonly ("grounding_dino" | "sam")[];
}

/**
 * Loads the adapted teachers of an experiment: `grounding_dino_lora/` and `sam_lora/` (PEFT files) onto the bases they were trained on.
 *
 * @param dir - the experiment's `teachers` folder
 * @throws {@link TeacherUnavailableError} when an adapter is present but its base is missing or another one
 */
export function loadTeachers(
  dir: string,
  {
    samBase = pretrainedSamDirectory(),
    groundingDinoBase = pretrainedGroundingDinoDirectory(),
    merged = true,
    allowOtherBase = false,
    only = ["grounding_dino", "sam"],
  }: LoadTeachersOptions = {},
): LoadedTeachers {
  const options = { merged, allowOtherBase };
  const find = <Model extends Module>(
    teacher: "grounding_dino" | "sam",
    base: string,
    load: (directory: string) => Model,
  ): Model | null =>
    only.includes(teacher) ? adapted(join(dir, `${teacher}_lora`), { teacher, base, load, ...options }) : null;
  const groundingDino = find("grounding_dino", groundingDinoBase, loadGroundingDino);
  try {
    const sam = find("sam", samBase, (directory) => Sam.fromPretrained(directory));
    return { ...(groundingDino && { groundingDino }), ...(sam && { sam }) };
  } catch (error) {
    groundingDino?.dispose();
    throw error;
  }
}

/** The base with the adapter in `folder`, or null where there is none. */
export function adapted<Model extends Module>(
  folder: string,
  {
    teacher,
    base,
    load,
    merged,
    allowOtherBase,
  }: { teacher: string; base: string; load: (directory: string) => Model; merged: boolean; allowOtherBase: boolean },
): Model | null {
  if (!existsSync(join(folder, "adapter_config.json"))) return null;
  const model = load(base);
  try {
    const expected = recordedBase(folder);
    if (expected !== null && !allowOtherBase) {
      const actual = weightsHash(model);
      if (actual !== expected) {
        const reason = `${folder} was trained on base weights ${expected.slice(0, 12)}, ${base} holds ${actual.slice(0, 12)}; pass the right base folder, or allowOtherBase`;
        throw new TeacherUnavailableError({ teacher, reason });
      }
    }
    loadAdapter(model, folder);
    if (merged) mergeAndUnload(model);
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/** Hash of the base in `seg_lora.json`; null for adapters of other tools, which carry none. */
function recordedBase(adapter: string): string | null {
  const path = join(adapter, "seg_lora.json");
  if (!existsSync(path)) return null;
  const record = JSON.parse(readFileSync(path, "utf8")) as { base?: { sha256?: string } };
  return record.base?.sha256 ?? null;
}
