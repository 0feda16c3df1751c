/** Disjoint sets of small integers; the smallest member stands for its set. */
export class DisjointSets {
  readonly #parent: number[] = [];

  /** Adds a set of its own; returns its only member. */
  add(): number {
    return this.#parent.push(this.#parent.length) - 1;
  }

  /** Smallest member of the set of `item`. */
  find(item: number): number {
    let root = item;
    while (this.#parent[root] !== root) root = this.#parent[root]!;
    for (let at = item; at !== root; ) {
      const next = this.#parent[at]!;
      this.#parent[at] = root;
      at = next;
    }
    return root;
  }

  /** Joins two sets. */
  union(a: number, b: number): void {
    const [x, y] = [this.find(a), this.find(b)];
    this.#parent[Math.max(x, y)] = Math.min(x, y);
  }
}
