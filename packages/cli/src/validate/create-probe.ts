import { createImageProbe, type ProbeImage } from "@seg/coco-dataset";
import sharp from "sharp";

/**
 * The image probe in the words of the command line. The text of libvips' errors is shared by its threads and may be gone when several
 * files are open.
 */
export async function createProbe(): Promise<ProbeImage> {
  const probe = await createImageProbe();
  return async (path) => {
    try {
      return await probe(path);
    } catch (cause) {
      const isPicture = await sharp(path)
        .metadata()
        .then(() => true)
        .catch(() => false);
      throw new Error(isPicture ? "damaged or cut off" : "no image that can be read", { cause });
    }
  };
}
