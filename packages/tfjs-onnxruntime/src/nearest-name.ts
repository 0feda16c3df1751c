import { distance } from "fastest-levenshtein";

/**
 * The known name with the fewest edits to `name`; the first on equality.
 * @example nearestName("threds", ["spinning", "threads"]) // "threads"
 */
export function nearestName(name: string, known: readonly string[]): string {
  return known.reduce((best, candidate) =>
    distance(name.toLowerCase(), candidate.toLowerCase()) < distance(name.toLowerCase(), best.toLowerCase())
      ? candidate
      : best,
  );
}
