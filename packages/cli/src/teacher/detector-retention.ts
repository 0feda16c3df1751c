import {
  detectorScene,
  type GroundingDino,
  type GroundingDinoProcessor,
  measureRetention,
  type Retention,
  SHAPE_KINDS,
} from "@seg/teachers";
import { COCO_NAMES } from "./coco-names.js";
import type { TeacherItem } from "./teacher-data.js";

/** Validation images that other prompts are tried on. */
const MAX_IMAGES = 40;
/** With all of COCO's names, which take several captions an image. */
const MAX_COCO_IMAGES = 10;
const SCENES = 40;

/**
 * What adapting cost in zero-shot ability: agreement with the base on `prompts`, by default COCO's 80 names. The embedded model, which knows shapes only and whose pre-training data can be drawn again, is asked for
 * shapes instead, also on held-out scenes of that world. Null without validation images.
 */
export async function detectorRetention({
  model,
  processor,
  isEmbedded,
  prompts,
  images,
  names,
  signal,
}: {
  /** Adapted. */
  model: GroundingDino;
  processor: GroundingDinoProcessor;
  isEmbedded: boolean;
  prompts: readonly string[] | undefined;
  images: readonly TeacherItem[];
  /** Trained class names, which are no test. */
  names: readonly string[];
  signal: AbortSignal;
}): Promise<Retention | null> {
  const trained = new Set(names.map((name) => name.toLowerCase()));
  const phrases = (prompts ?? (isEmbedded ? SHAPE_KINDS : COCO_NAMES)).filter(
    (phrase) => !trained.has(phrase.toLowerCase()),
  );
  if (phrases.length === 0 || images.length === 0) return null;
  const { encode, size } = processor;
  const most = prompts === undefined && !isEmbedded ? MAX_COCO_IMAGES : MAX_IMAGES;
  const run = { model, items: images.slice(0, most), phrases: processor.phrases(phrases), encode, size, signal };
  if (!isEmbedded || prompts !== undefined) return measureRetention(run);
  const kinds = SHAPE_KINDS.filter((kind) => !trained.has(kind));
  const items = Array.from({ length: SCENES }, (_, index) => {
    const { image, instances } = detectorScene({ seed: 0, split: "held-out", index });
    const known = instances.filter(({ shape }) => kinds.includes(shape));
    return { image, instances: known.map(({ shape, box }) => ({ classId: kinds.indexOf(shape), box })) };
  });
  return measureRetention(run, { items, phrases: kinds });
}
