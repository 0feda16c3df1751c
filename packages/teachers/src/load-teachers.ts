import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadAdapter, mergeAndUnload } from "@seg/lora";
import { TeacherUnavailableError } from "./errors.js";
import { Sam } from "./sam/sam.js";
import { weightsHash } from "./sam/weights-hash.js";

/** Teachers found in a folder. */
export interface LoadedTeachers {
  /** Absent when the folder holds no SAM adapter. */
  readonly sam?: Sam;
  /** What lies there but cannot be loaded, with the reason. */
  readonly unavailable: readonly { readonly teacher: string; readonly reason: string }[];
}

/** Folder of the small SAM that this package brings along, pre-trained on the synthetic shape world. */
export function pretrainedSamDirectory(): string {
  return fileURLToPath(new URL("../pretrained/sam-tiny-synthetic", import.meta.url));
}

/**
 * Loads the adapted teachers of an experiment: `sam_lora/` (PEFT files) onto the base it was trained on. Only what is present is loaded.
 *
 * @param dir - the experiment's `teachers` folder
 * @param samBase - folder of the base model. @defaultValue {@link pretrainedSamDirectory}
 * @param merged - add the adapters to the weights in memory: same masks, no extra cost. @defaultValue true
 * @param allowOtherBase - skip the check that the adapter was trained on exactly these base weights. @defaultValue false
 * @throws {@link TeacherUnavailableError} when an adapter is present but its base is missing or another one
 */
export function loadTeachers(
  dir: string,
  {
    samBase = pretrainedSamDirectory(),
    merged = true,
    allowOtherBase = false,
  }: { samBase?: string; merged?: boolean; allowOtherBase?: boolean } = {},
): LoadedTeachers {
  const unavailable: { teacher: string; reason: string }[] = [];
  if (existsSync(join(dir, "grounding_dino_lora"))) {
    unavailable.push({ teacher: "grounding_dino", reason: "Grounding DINO is not available in this version" });
  }
  const adapter = join(dir, "sam_lora");
  if (!existsSync(join(adapter, "adapter_config.json"))) return { unavailable };
  const sam = Sam.fromPretrained(samBase);
  try {
    const expected = recordedBase(adapter);
    if (expected !== null && !allowOtherBase) {
      const actual = weightsHash(sam);
      if (actual !== expected) {
        const reason = `${adapter} was trained on base weights ${expected.slice(0, 12)}, ${samBase} holds ${actual.slice(0, 12)}; pass the right samBase, or allowOtherBase`;
        throw new TeacherUnavailableError({ teacher: "sam", reason });
      }
    }
    loadAdapter(sam, adapter);
    if (merged) mergeAndUnload(sam);
  } catch (error) {
    sam.dispose();
    throw error;
  }
  return { sam, unavailable };
}

/** Hash of the base in `seg_lora.json`; null for adapters of other tools, which carry none. */
function recordedBase(adapter: string): string | null {
  const path = join(adapter, "seg_lora.json");
  if (!existsSync(path)) return null;
  const record = JSON.parse(readFileSync(path, "utf8")) as { base?: { sha256?: string } };
  return record.base?.sha256 ?? null;
}
