import { CounterRandom } from "@seg/augment";
import type { Box } from "@seg/coco-dataset";
import { type Attributes, isHeldOutCombination } from "./attributes.js";
import type { DetectorInstance, DetectorSceneKey } from "./detector-world.js";
import { SHAPE_KINDS, type ShapeKind } from "./shapes.js";
import { COLOUR_KINDS, TEXTURE_KINDS } from "./surface.js";

type Described = Omit<DetectorInstance, "mask" | "kind">;

/** What a prompt needs to know about a scene. */
export interface DescribedScene {
  readonly instances: readonly Described[];
}

/** A phrase of the prompt and what it asks for; an absent attribute is not asked for. */
export interface Phrase extends Partial<Attributes> {
  /** For example "red striped circle", "red shape", "circle". */
  readonly text: string;
}

/** A prompt with its answer. */
export interface DetectorPrompt {
  /** In the order of the caption; without an object: a negative. */
  readonly phrases: readonly Phrase[];
  /** Every object that a phrase matches, once. */
  readonly objects: readonly { readonly phrase: number; readonly box: Box; readonly shape: ShapeKind }[];
}

const MAX_PHRASES = 6;
const MAX_NEGATIVES = 2;
/** Share of negatives that differ from an object of the scene in one attribute. */
const HARD_NEGATIVES = 0.6;

/** Words of the phrases: shapes, colours, textures, and "shape" for any of them. */
export const PHRASE_WORDS: readonly string[] = [...SHAPE_KINDS, ...COLOUR_KINDS, ...TEXTURE_KINDS, "shape"];

/**
 * A prompt of 2 to 6 phrases (fewer where the scene has fewer objects) and up to 2 negatives, shuffled. The objects of a phrase are disjoint from those of the others, and
 * all objects that a phrase matches are labelled. Scenes of the split `combinations` are asked for pairs that training never saw, with other
 * such pairs as negatives; all other prompts avoid them.
 *
 * @param draw - further prompts for the same scene have other numbers. @defaultValue 0
 */
export function detectorPrompt(
  scene: DescribedScene,
  { seed, split, index }: DetectorSceneKey,
  draw = 0,
): DetectorPrompt {
  const random = new CounterRandom({ seed, path: `detector-prompt/${split}`, epoch: draw, index });
  const heldOut = split === "combinations";
  const taken = new Set<Described>();
  const found: { phrase: Phrase; objects: readonly Described[] }[] = [];
  const wanted = random.integer(2, MAX_PHRASES);
  const order = random.permutation(scene.instances.length);
  for (const position of order) {
    if (found.length === wanted) break;
    const object = scene.instances[position]!;
    for (let attempt = 0; attempt < 4 && !taken.has(object); attempt++) {
      const phrase = phraseFor(object, random);
      if (isHeldOutCombination(phrase) !== heldOut) continue;
      const objects = scene.instances.filter((other) => matches(phrase, other));
      if (objects.some((other) => taken.has(other))) continue;
      for (const other of objects) taken.add(other);
      found.push({ phrase, objects });
    }
  }
  const texts = new Set(found.map(({ phrase }) => phrase.text));
  let negatives = random.integer(0, MAX_NEGATIVES);
  // An empty caption is none: a scene without a nameable object is asked for something that is not there.
  while (negatives > 0 || found.length === 0) {
    negatives--;
    const negative = negativePhrase(scene, { heldOut, texts, random });
    if (!negative) continue;
    texts.add(negative.text);
    found.push({ phrase: negative, objects: [] });
  }
  const shuffled = [...random.permutation(found.length)].map((i) => found[i]!);
  return {
    phrases: shuffled.map(({ phrase }) => phrase),
    objects: shuffled.flatMap(({ objects }, phrase) => objects.map(({ box, shape }) => ({ phrase, box, shape }))),
  };
}

function phraseFor(object: Attributes, random: CounterRandom): Phrase {
  const { colour, texture, shape } = object;
  const kind = random.uniform();
  if (kind < 0.35) return phraseOf({ colour, shape });
  if (kind < 0.6) return phraseOf({ texture, shape });
  if (kind < 0.75) return phraseOf({ colour, texture, shape });
  return kind < 0.9 ? phraseOf({ shape }) : phraseOf({ colour });
}

function phraseOf(attributes: Partial<Attributes>): Phrase {
  const { colour, texture, shape = "shape" } = attributes;
  return { ...attributes, text: [colour, texture, shape].filter((word) => word !== undefined).join(" ") };
}

function matches({ colour, texture, shape }: Phrase, object: Attributes): boolean {
  return (
    (colour === undefined || colour === object.colour) &&
    (texture === undefined || texture === object.texture) &&
    (shape === undefined || shape === object.shape)
  );
}

function negativePhrase(
  { instances }: DescribedScene,
  { heldOut, texts, random }: { heldOut: boolean; texts: ReadonlySet<string>; random: CounterRandom },
): Phrase | null {
  for (let attempt = 0; attempt < 8; attempt++) {
    const isHard = random.uniform() < HARD_NEGATIVES && instances.length > 0;
    const source: Attributes = isHard
      ? changed(instances[random.integer(0, instances.length - 1)]!, random)
      : { colour: pick(COLOUR_KINDS, random), texture: pick(TEXTURE_KINDS, random), shape: pick(SHAPE_KINDS, random) };
    const phrase = phraseFor(source, random);
    if (isHeldOutCombination(phrase) !== heldOut || texts.has(phrase.text)) continue;
    if (!instances.some((object) => matches(phrase, object))) return phrase;
  }
  return null;
}

/** The object's attributes with one of them replaced. */
function changed({ colour, texture, shape }: Attributes, random: CounterRandom): Attributes {
  const which = random.integer(0, 2);
  if (which === 0) return { colour: pick(COLOUR_KINDS, random), texture, shape };
  if (which === 1) return { colour, texture: pick(TEXTURE_KINDS, random), shape };
  return { colour, texture, shape: pick(SHAPE_KINDS, random) };
}

function pick<T>(list: readonly T[], random: CounterRandom): T {
  return list[random.integer(0, list.length - 1)]!;
}
