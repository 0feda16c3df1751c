import type { Rle } from "../types.js";

/** How many pieces a mask has. */
export interface MaskTopology {
  /** 4-connected foreground components. */
  readonly components: number;
  /** 8-connected background components that do not reach the image's border. */
  readonly holes: number;
}

/**
 * Components and holes, counted on the runs: each run cut at the columns it crosses is a segment, segments that touch in neighbouring
 * columns are joined.
 */
export function maskTopology({ size: [height, width], counts }: Rle): MaskTopology {
  const parent: number[] = [];
  const find = (item: number): number => {
    let root = item;
    while (parent[root] !== root) root = parent[root]!;
    while (parent[item] !== root) {
      const next = parent[item]!;
      parent[item] = root;
      item = next;
    }
    return root;
  };
  const isBorder: boolean[] = [];
  const isOne: boolean[] = [];
  let previous: Segment[] = [];
  let run = 0;
  let left = counts[0] ?? 0;
  for (let x = 0; x < width; x++) {
    while (left === 0 && run + 1 < counts.length) left = counts[++run]!;
    // Most columns of most masks are empty: one segment serves them all.
    const [only] = previous;
    if ((run & 1) === 0 && left >= height && only?.isForeground === false && only.from === 0 && only.to === height) {
      left -= height;
      continue;
    }
    const column: Segment[] = [];
    for (let y = 0; y < height; ) {
      while (left === 0 && run + 1 < counts.length) left = counts[++run]!;
      if (left === 0) break;
      const to = Math.min(height, y + left);
      const isForeground = (run & 1) === 1;
      const last = column.at(-1);
      // An empty run between two of one kind does not part them.
      if (last !== undefined && last.isForeground === isForeground) {
        column[column.length - 1] = { ...last, to };
      } else {
        const label = parent.length;
        parent.push(label);
        isOne.push(isForeground);
        isBorder.push(false);
        column.push({ from: y, to, isForeground, label });
      }
      left -= to - y;
      y = to;
    }
    for (const segment of column) {
      if (x === 0 || x === width - 1 || segment.from === 0 || segment.to === height) isBorder[segment.label] = true;
    }
    join(previous, column, find, parent);
    previous = column;
  }
  const border = new Set<number>();
  isBorder.forEach((flag, label) => {
    if (flag) border.add(find(label));
  });
  let components = 0;
  let holes = 0;
  parent.forEach((root, label) => {
    if (root !== label) return;
    if (isOne[label]) components++;
    else if (!border.has(label)) holes++;
  });
  return { components, holes };
}

/** Pixels of one kind in one column: first row, row after the last. */
interface Segment {
  readonly from: number;
  readonly to: number;
  readonly isForeground: boolean;
  readonly label: number;
}

/** Joins segments of neighbouring columns: foreground by an edge, background also by a corner. */
function join(a: readonly Segment[], b: readonly Segment[], find: (item: number) => number, parent: number[]): void {
  let start = 0;
  for (const segment of b) {
    const reach = segment.isForeground ? 0 : 1;
    while (start < a.length && a[start]!.to + 1 <= segment.from) start++;
    for (let i = start; i < a.length && a[i]!.from <= segment.to + reach; i++) {
      const other = a[i]!;
      if (other.isForeground !== segment.isForeground) continue;
      if (other.from >= segment.to + reach || other.to + reach <= segment.from) continue;
      const [x, y] = [find(other.label), find(segment.label)];
      if (x !== y) parent[Math.max(x, y)] = Math.min(x, y);
    }
  }
}
