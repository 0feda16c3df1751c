import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadGroundingDino } from "../grounding-dino/load.js";
import { loadGroundingDinoProcessor } from "../grounding-dino/processor.js";
import { GroundingDinoTeacher } from "../grounding-dino/teacher.js";
import { adapted, pretrainedGroundingDinoDirectory, pretrainedSamDirectory } from "../load-teachers.js";
import { Sam } from "../sam/sam.js";
import { defaultZoom, type SamZoom } from "../sam/zoom.js";
import { GroundedSam } from "./grounded-sam.js";

/** What {@link loadGroundedSam} made. */
export interface LoadedGroundedSam {
  readonly teacher: GroundedSam;
  /** "Grounding DINO is not adapted ...": one line for each network that is used as published. */
  readonly warnings: readonly string[];
  /** Frees both networks. */
  dispose(): void;
}

/**
 * Loads both networks, with their adapters where there are any.
 *
 * @param groundingDinoBase - folder of the base model. @defaultValue the small one of this package
 * @param groundingDinoLora - PEFT folder
 * @param samBase - folder of the base model. @defaultValue the small one of this package
 * @param samLora - PEFT folder
 * @param mergedAdapters - add the adapters to the weights in memory; files stay as they are. @defaultValue true
 * @param allowOtherBase - skip the check that adapters were trained on exactly these weights. @defaultValue false
 * @throws TeacherUnavailableError, AdapterMismatchError
 */
export function loadGroundedSam({
  groundingDinoBase = pretrainedGroundingDinoDirectory(),
  groundingDinoLora,
  samBase = pretrainedSamDirectory(),
  samLora,
  mergedAdapters = true,
  allowOtherBase = false,
}: {
  groundingDinoBase?: string;
  groundingDinoLora?: string;
  samBase?: string;
  samLora?: string;
  mergedAdapters?: boolean;
  allowOtherBase?: boolean;
} = {}): LoadedGroundedSam {
  const warnings: string[] = [];
  const options = { merged: mergedAdapters, allowOtherBase };
  const isAdapter = (folder: string | undefined): folder is string =>
    folder !== undefined && existsSync(join(folder, "adapter_config.json"));
  const note = (name: string, folder: string | undefined): void => {
    warnings.push(`${name} is not adapted: ${folder === undefined ? "no adapter was given" : `${folder} holds none`}.`);
  };
  const processor = loadGroundingDinoProcessor(groundingDinoBase);
  if (!isAdapter(groundingDinoLora)) note("Grounding DINO", groundingDinoLora);
  if (!isAdapter(samLora)) note("SAM", samLora);
  const model = isAdapter(groundingDinoLora)
    ? adapted(groundingDinoLora, {
        ...{ teacher: "grounding_dino", base: groundingDinoBase, load: loadGroundingDino },
        ...options,
      })!
    : loadGroundingDino(groundingDinoBase);
  let sam: Sam;
  try {
    const load = (folder: string): Sam => Sam.fromPretrained(folder);
    sam = isAdapter(samLora) ? adapted(samLora, { teacher: "sam", base: samBase, load, ...options })! : load(samBase);
  } catch (error) {
    model.dispose();
    throw error;
  }
  const detector = new GroundingDinoTeacher({ model, processor });
  const zoom = isAdapter(samLora) ? trainedZoom(samLora) : defaultZoom(sam);
  // The embedded SAM learnt its single mask only.
  const teacher = new GroundedSam({ detector, sam, multimask: samBase !== pretrainedSamDirectory(), zoom });
  return {
    teacher,
    warnings,
    dispose() {
      detector.dispose();
      sam.dispose();
    },
  };
}

/** How the adapter in a folder was shown its objects; null: on whole images, as adapters of other tools are. */
function trainedZoom(folder: string): SamZoom | null {
  const file = join(folder, "seg_lora.json");
  if (!existsSync(file)) return null;
  return (JSON.parse(readFileSync(file, "utf8")) as { zoom?: SamZoom | null }).zoom ?? null;
}
