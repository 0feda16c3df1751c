/** Order of a tensor's axes in TFLite: dimension `i` holds the ONNX axis `layout[i]`. */
export type Layout = readonly number[];

/** ONNX order. */
export const identityLayout = (rank: number): Layout => Array.from({ length: rank }, (_, axis) => axis);

/** Batch first, channels (ONNX axis 1) last: `[0,2,3,1]` for rank 4, `[0,2,1]` for rank 3; ONNX order below rank 3. */
export function channelsLast(rank: number): Layout {
  return rank < 3 ? identityLayout(rank) : [0, ...identityLayout(rank).slice(2), 1];
}

export const isSameLayout = (a: Layout, b: Layout): boolean =>
  a.length === b.length && a.every((axis, i) => axis === b[i]);

/** Shape in TFLite order. */
export const layoutShape = (shape: readonly number[], layout: Layout): number[] => layout.map((axis) => shape[axis]!);

/** Permutation operand of TRANSPOSE that brings `from` to `to`. */
export const permutationBetween = (from: Layout, to: Layout): number[] => to.map((axis) => from.indexOf(axis));

/** Layout of the output of an ONNX Transpose whose data stays where it is: output axis `i` is input axis `perm[i]`. */
export function transposedLayout(layout: Layout, perm: readonly number[]): Layout {
  return layout.map((axis) => perm.indexOf(axis));
}

interface AxisGroup {
  from: number[];
  to: number[];
}

/** Smallest runs of neighbouring axes with equal products. */
function axisGroups(from: readonly number[], to: readonly number[]): AxisGroup[] {
  const groups: AxisGroup[] = [];
  let i = 0;
  let j = 0;
  while (i < from.length && j < to.length) {
    const group: AxisGroup = { from: [i], to: [j] };
    let left = from[i++]!;
    let right = to[j++]!;
    while (left !== right) {
      if (left < right) {
        left *= from[i]!;
        group.from.push(i++);
      } else {
        right *= to[j]!;
        group.to.push(j++);
      }
    }
    groups.push(group);
  }
  const last = groups.at(-1);
  // What is left over has size 1.
  for (; i < from.length; i++) last?.from.push(i);
  for (; j < to.length; j++) last?.to.push(j);
  return groups;
}

/**
 * Layout of a reshaped tensor whose data stays where it is, or null where an ONNX Reshape mixes axes that the layout separates.
 * Axes of size 1 may stand anywhere.
 *
 * @param from - ONNX shape before; no size is 0
 * @param to - ONNX shape after, of equal product
 * @example reshapedLayout({ from: [1, 64, 4, 4], to: [1, 64, 16], layout: [0, 2, 3, 1] }) // [0, 2, 1]
 */
export function reshapedLayout({
  from,
  to,
  layout,
}: {
  from: readonly number[];
  to: readonly number[];
  layout: Layout;
}): Layout | null {
  const significant = layout.filter((axis) => from[axis] !== 1);
  const keyed: { key: number; axes: number[] }[] = [];
  for (const group of axisGroups(from, to)) {
    const axes = group.from.filter((axis) => from[axis] !== 1);
    const first = significant.indexOf(axes[0] ?? -1);
    if (axes.length > 0 && axes.some((axis, i) => significant[first + i] !== axis)) return null;
    keyed.push({ key: layout.indexOf(axes[0] ?? group.from[0]!), axes: group.to });
  }
  return keyed.sort((a, b) => a.key - b.key).flatMap(({ axes }) => axes);
}

/** Copies row-major values into another order of axes. */
export function permuteValues<T extends Float32Array | Int8Array>(
  values: T,
  shape: readonly number[],
  layout: Layout,
): T {
  const rank = shape.length;
  const strides = new Array<number>(rank).fill(1);
  for (let axis = rank - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  const sizes = layoutShape(shape, layout);
  const steps = layout.map((axis) => strides[axis]!);
  const out = values.slice() as T;
  const position = new Array<number>(rank).fill(0);
  let source = 0;
  for (let i = 0; i < out.length; i++) {
    out[i] = values[source]!;
    for (let axis = rank - 1; axis >= 0; axis--) {
      source += steps[axis]!;
      if (++position[axis]! < sizes[axis]!) break;
      source -= steps[axis]! * sizes[axis]!;
      position[axis] = 0;
    }
  }
  return out;
}
