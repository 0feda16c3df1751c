import { predictInstanceMasks, type Sam, type SamZoom } from "@seg/teachers";
import { mapToCells } from "./map-to-cells.js";
import type { MaskTeacher, TeacherIdentity } from "./teachers.js";

/**
 * A SAM prompted with boxes, as distillation asks for masks.
 *
 * @param sam - adapters merged or not; the caller disposes it
 * @param zoom - how small objects are shown; null: on whole images
 */
export function samMasks({ sam, zoom, id, hash }: { sam: Sam; zoom: SamZoom | null } & TeacherIdentity): MaskTeacher {
  return {
    id,
    hash,
    async predict(image, boxes) {
      const { logits, side, iou, geometry } = await predictInstanceMasks({ sam, image, boxes, zoom });
      return { logits: [...logits], side, iou: [...iou], toModel: mapToCells(geometry, geometry.netW / side) };
    },
  };
}
