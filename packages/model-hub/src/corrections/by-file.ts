import type { CocoDataset, CocoImage } from "@seg/coco-dataset";
import { HubError } from "../errors.js";

/** What an image is known by: the last part of its path, because labelling tools keep no folders. */
export const fileKey = ({ file_name }: CocoImage): string => file_name.split(/[/\\]/).at(-1)!;

/**
 * Images of a data set by {@link fileKey}.
 * @param what - names the data set in the error
 * @throws HubError `INVALID_REQUEST` where two images have one name
 */
export function byFile({ images }: CocoDataset, what: string): Map<string, CocoImage> {
  const found = new Map<string, CocoImage>();
  for (const image of images) {
    const other = found.get(fileKey(image));
    if (other !== undefined) {
      throw new HubError({
        code: "INVALID_REQUEST",
        message: `${what} hold two images named ${fileKey(image)} (${other.file_name}, ${image.file_name}): corrections are found by that name. Rename one.`,
      });
    }
    found.set(fileKey(image), image);
  }
  return found;
}
