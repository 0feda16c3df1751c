import { distance } from "fastest-levenshtein";

/**
 * The known name with the fewest edits to `name`, case aside; the first on equality, null when nothing is known.
 * @example nearestName("imagesize", ["stride", "imageSize"]) // "imageSize"
 */
export function nearestName(name: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let least = Infinity;
  for (const candidate of known) {
    const edits = distance(name.toLowerCase(), candidate.toLowerCase());
    if (edits < least) {
      best = candidate;
      least = edits;
    }
  }
  return best;
}
