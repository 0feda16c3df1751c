import { embeddingSide, encodeImageOnce, type Sam, samPixels } from "@seg/teachers";
import { mapToCells } from "../../teacher/map-to-cells.js";
import type { FeatureTeacher, TeacherIdentity } from "../../teacher/teachers.js";

/**
 * The image embeddings of a SAM as a teacher's features: one map of stride 16. What `distillEncoder` has a smaller encoder repeat.
 *
 * @param sam - adapters merged or not; the caller disposes it
 */
export function samEmbeddings({ sam, id, hash }: { sam: Sam } & TeacherIdentity): FeatureTeacher {
  const { imageSize, outputChannels: channels } = sam.config.vision;
  const side = embeddingSide(sam.config);
  const stride = imageSize / side;
  return {
    id,
    hash,
    async features(image) {
      const { geometry } = samPixels(image, imageSize);
      const data = await encodeImageOnce(sam, image);
      return [{ stride, height: side, width: side, channels, data, toMap: mapToCells(geometry, stride) }];
    },
  };
}
