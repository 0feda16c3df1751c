/** Levenshtein distance: insertions, deletions and replacements that turn `a` into `b`. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

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
