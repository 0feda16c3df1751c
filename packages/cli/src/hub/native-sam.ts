import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { stateDict, writeSafetensors } from "@seg/nn";
import { loadOriginalSam, samConfigJson } from "@seg/teachers";
import { writeJson } from "../files.js";

/** How SAM's authors prepare pictures, in the words of Hugging Face. */
const preprocessor = (side: number) => ({
  do_convert_rgb: true,
  do_normalize: true,
  do_pad: true,
  do_rescale: true,
  do_resize: true,
  image_mean: [0.485, 0.456, 0.406],
  image_processor_type: "SamImageProcessor",
  image_std: [0.229, 0.224, 0.225],
  pad_size: { height: side, width: side },
  processor_class: "SamProcessor",
  resample: 2,
  rescale_factor: 1 / 255,
  size: { longest_edge: side },
});

/**
 * A checkpoint of SAM's authors as a folder in Hugging Face layout, `<directory>/<sha256>`, made once: sizes are read from the tensors, keys
 * renamed, values unchanged.
 *
 * @param sha256 - of the checkpoint: its conversion is the same for ever
 * @throws TeacherUnavailableError when the file holds another architecture
 */
export function convertNativeSam({
  file,
  sha256,
  directory,
}: {
  file: string;
  sha256: string;
  directory: string;
}): string {
  const folder = join(directory, sha256);
  if (existsSync(join(folder, "config.json"))) return folder;
  const temporary = join(directory, `.${sha256.slice(0, 16)}.${randomBytes(4).toString("hex")}.tmp`);
  mkdirSync(temporary, { recursive: true });
  const sam = loadOriginalSam(file);
  try {
    writeSafetensors(join(temporary, "model.safetensors"), stateDict(sam), { metadata: { format: "pt" } });
    writeJson(join(temporary, "preprocessor_config.json"), preprocessor(sam.config.vision.imageSize));
    writeJson(join(temporary, "config.json"), samConfigJson(sam.config));
    // Whole or not at all; another process may have been faster, with the same bytes.
    if (!existsSync(folder)) renameSync(temporary, folder);
    return folder;
  } finally {
    sam.dispose();
    rmSync(temporary, { recursive: true, force: true });
  }
}
