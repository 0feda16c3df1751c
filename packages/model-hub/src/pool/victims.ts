/** What decides which model goes first. */
export interface Candidate {
  readonly key: string;
  readonly bytes: number;
  /** Milliseconds of the clock. */
  readonly lastUse: number;
  /** What loading it took; null: unknown, taken as cheap. */
  readonly reloadMs: number | null;
}

/** Least recently used first; of equals the one that is quickest to reload, then the larger, then by key. */
function byValue(a: Candidate, b: Candidate): number {
  return (
    a.lastUse - b.lastUse ||
    (a.reloadMs ?? 0) - (b.reloadMs ?? 0) ||
    b.bytes - a.bytes ||
    (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)
  );
}

/**
 * Models to give up for `bytes`, just enough: the least valuable ones in order, without those that the later ones made unnecessary.
 * @returns null if all of them are not enough; nothing should go then
 */
export function chooseVictims<Item extends Candidate>(candidates: readonly Item[], bytes: number): Item[] | null {
  const chosen: Item[] = [];
  let freed = 0;
  for (const candidate of [...candidates].sort(byValue)) {
    if (freed >= bytes) break;
    chosen.push(candidate);
    freed += candidate.bytes;
  }
  if (freed < bytes) return null;
  // From the most valuable one: what the others free without it may be enough.
  for (let i = chosen.length - 1; i >= 0; i--) {
    if (freed - chosen[i]!.bytes < bytes) continue;
    freed -= chosen[i]!.bytes;
    chosen.splice(i, 1);
  }
  return chosen;
}
