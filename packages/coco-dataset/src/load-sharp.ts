import { CocoError } from "./errors.js";

/** Something needs pixels or an image's size, and the optional package `sharp` is not installed. */
export class SharpMissingError extends CocoError {
  override readonly name = "SharpMissingError";
  readonly code = "coco/sharp-missing";
  constructor({ purpose, cause }: { purpose: string; cause: unknown }) {
    super(`${purpose} needs the optional package sharp: npm install sharp.`, { cause });
  }
}

/**
 * The image decoder, an optional peer: everything numeric of this package works without it.
 *
 * @param purpose - what needs it, the subject of the error message
 * @throws SharpMissingError `coco/sharp-missing`
 */
export async function loadSharp(purpose: string): Promise<typeof import("sharp").default> {
  try {
    return (await import("sharp")).default;
  } catch (cause) {
    throw new SharpMissingError({ purpose, cause });
  }
}
