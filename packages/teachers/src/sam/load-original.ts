import { loadStateDict, openWeights, SegError, type WeightFile } from "@seg/nn";
import { TeacherUnavailableError } from "../errors.js";
import { samConfigOfWeights } from "./config-of-weights.js";
import { samOriginalKeys } from "./original-keys.js";
import { Sam } from "./sam.js";

/**
 * Loads a checkpoint of SAM's or MobileSAM's authors (`sam_vit_b_01ec64.pth`, `mobile_sam.pt`, or the same keys as safetensors). Sizes are read from the
 * tensors; the norms of the two-way blocks get the authors' eps.
 *
 * @param imageSize - see {@link samConfigOfWeights}. @defaultValue 1024
 * @throws {@link TeacherUnavailableError} when the file cannot be read or holds another architecture, StateDictError when keys are left over or shapes differ,
 * CheckpointFormatError and UnsafePickleError for damaged and hostile files
 */
export function loadOriginalSam(file: string, { imageSize = 1024 }: { imageSize?: number } = {}): Sam {
  let weights: WeightFile;
  try {
    weights = openWeights(file);
  } catch (cause) {
    // A damaged file says more about itself than this layer can.
    if (SegError.isInstance(cause)) throw cause;
    throw new TeacherUnavailableError({ teacher: "sam", reason: `${file} cannot be read`, cause });
  }
  const sam = new Sam(samConfigOfWeights(samOriginalKeys.apply(weights), { imageSize }), { seed: 0, blank: true });
  try {
    loadStateDict(sam, weights, { map: samOriginalKeys });
  } catch (error) {
    sam.dispose();
    throw error;
  }
  return sam;
}
