/**
 * The elements of a row-major array whose index on each given axis stays.
 *
 * @param keep - axis -> indices that stay, ascending
 * @example selectChannels(Float32Array.of(1, 2, 3, 4), [2, 2], new Map([[1, [0]]])) // { data: [1, 3], dims: [2, 1] }
 */
export function selectChannels(
  data: Float32Array,
  dims: readonly number[],
  keep: ReadonlyMap<number, readonly number[]>,
): { data: Float32Array; dims: number[] } {
  const indices = dims.map((size, axis) => keep.get(axis) ?? Array.from({ length: size }, (_, i) => i));
  const strides = dims.map((_, axis) => dims.slice(axis + 1).reduce((all, size) => all * size, 1));
  let offsets = [0];
  indices.forEach((list, axis) => {
    offsets = offsets.flatMap((offset) => list.map((index) => offset + index * strides[axis]!));
  });
  return { data: Float32Array.from(offsets, (at) => data[at]!), dims: indices.map(({ length }) => length) };
}
