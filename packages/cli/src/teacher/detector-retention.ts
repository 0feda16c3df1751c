import {
  detectorScene,
  type GroundingDino,
  type GroundingDinoProcessor,
  measureRetention,
  type Retention,
  SHAPE_KINDS,
} from "@seg/teachers";
import type { TeacherItem } from "./teacher-data.js";

/** Validation images that other prompts are tried on. */
const MAX_IMAGES = 40;
const SCENES = 40;

/**
 * What adapting cost in zero-shot ability: agreement with the base on `prompts`. Without prompts the embedded model, whose pre-training data can be drawn again, is asked for shapes, also on
 * held-out scenes of that world; for other models the result is null.
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
  const phrases = (prompts ?? (isEmbedded ? SHAPE_KINDS : [])).filter((phrase) => !trained.has(phrase.toLowerCase()));
  if (phrases.length === 0 || images.length === 0) return null;
  const { encode, size } = processor;
  const run = { model, items: images.slice(0, MAX_IMAGES), phrases: processor.phrases(phrases), encode, size, signal };
  if (!isEmbedded || prompts !== undefined) return measureRetention(run);
  const kinds = SHAPE_KINDS.filter((kind) => !trained.has(kind));
  const items = Array.from({ length: SCENES }, (_, index) => {
    const { image, instances } = detectorScene({ seed: 0, split: "held-out", index });
    const known = instances.filter(({ shape }) => kinds.includes(shape));
    return { image, instances: known.map(({ shape, box }) => ({ classId: kinds.indexOf(shape), box })) };
  });
  return measureRetention(run, { items, phrases: kinds });
}
