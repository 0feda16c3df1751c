import { samMasks, type Teachers } from "@seg/distill";
import {
  defaultZoom,
  GroundedSam,
  GroundingDinoTeacher,
  pretrainedGroundingDinoDirectory,
  pretrainedSamDirectory,
  Sam,
  weightsHash,
} from "@seg/teachers";

/** Words to boxes to masks. */
export interface TextTeachers {
  /** As distillation asks them: box by box, mask by mask. */
  readonly teachers: Required<Pick<Teachers, "detector" | "masks">>;
  /** As a person asks them: a picture and words in, named masks out. */
  readonly groundedSam: GroundedSam;
  dispose(): void;
}

/**
 * A Grounding DINO and a SAM, as they were published: nobody adapted them to these pictures.
 *
 * @param groundingDino - folder in Hugging Face layout. @defaultValue the small one of @seg/teachers
 * @param sam - the same
 */
export function loadTextTeachers({
  groundingDino = pretrainedGroundingDinoDirectory(),
  sam: samFolder = pretrainedSamDirectory(),
}: {
  groundingDino?: string;
  sam?: string;
} = {}): TextTeachers {
  const dino = GroundingDinoTeacher.fromPretrained(groundingDino);
  const sam = Sam.fromPretrained(samFolder);
  const zoom = defaultZoom(sam);
  return {
    teachers: {
      detector: {
        id: "Grounding DINO",
        hash: weightsHash(dino.model),
        detect: (image, classes) => dino.logits(image, { classes }),
      },
      masks: samMasks({ sam, zoom, id: "SAM", hash: weightsHash(sam) }),
    },
    // The small SAM learnt its single mask only.
    groundedSam: new GroundedSam({ detector: dino, sam, multimask: samFolder !== pretrainedSamDirectory(), zoom }),
    dispose() {
      dino.dispose();
      sam.dispose();
    },
  };
}
