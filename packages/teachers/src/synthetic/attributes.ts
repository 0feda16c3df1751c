import { SHAPE_KINDS, type ShapeKind } from "./shapes.js";
import { COLOUR_KINDS, type ColourKind, TEXTURE_KINDS, type TextureKind } from "./surface.js";

/** What the words of a phrase are about. */
export interface Attributes {
  readonly colour: ColourKind;
  readonly texture: TextureKind;
  readonly shape: ShapeKind;
}

/**
 * Whether colour and shape, or texture and shape, are a pair that training never sees, neither drawn nor named: (3 colour + 5 shape) mod 9 = 4 or,
 * for textures other than plain, (2 texture + 3 shape) mod 7 = 1, by position in the lists. Absent attributes are in no pair.
 */
export function isHeldOutCombination({ colour, texture, shape }: Partial<Attributes>): boolean {
  if (shape === undefined) return false;
  const s = SHAPE_KINDS.indexOf(shape);
  if (colour !== undefined && (3 * COLOUR_KINDS.indexOf(colour) + 5 * s) % 9 === 4) return true;
  const t = texture === undefined ? 0 : TEXTURE_KINDS.indexOf(texture);
  return t > 0 && (2 * t + 3 * s) % 7 === 1;
}
