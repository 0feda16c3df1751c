/**
 * Pairs rows with columns one to one so that the summed cost is smallest; with more rows than columns (or fewer) the surplus stays unpaired. Successive shortest
 * augmenting paths over reduced costs (Jonker & Volgenant, 1987; rectangular form of Crouse, 2016), O(min(n, m)^2 max(n, m)). Where several columns are
 * equally near, the lower index is taken first.
 *
 * @param costs - row-major [rows, columns], all finite
 * @returns the column of every row, -1 for a row without one
 * @throws RangeError when `costs` has another length or a value that is not finite
 * @example minimumCostAssignment(Float64Array.of(4, 1, 3, 2, 0, 5), 2, 3) // [1, 0]: 1 + 2
 */
export function minimumCostAssignment(costs: ArrayLike<number>, rows: number, columns: number): Int32Array {
  if (costs.length !== rows * columns) {
    throw new RangeError(`${costs.length} costs for ${rows} rows and ${columns} columns, expected ${rows * columns}.`);
  }
  for (let i = 0; i < costs.length; i++) {
    if (!Number.isFinite(costs[i]!))
      throw new RangeError(`Cost ${i} is ${costs[i]}; replace values that are not finite.`);
  }
  if (rows <= columns) return augmentRows((row, column) => costs[row * columns + column]!, rows, columns);
  const rowOfColumn = augmentRows((column, row) => costs[row * columns + column]!, columns, rows);
  const result = new Int32Array(rows).fill(-1);
  for (let column = 0; column < columns; column++) result[rowOfColumn[column]!] = column;
  return result;
}

/** For n <= m: every row gets a column. */
function augmentRows(cost: (row: number, column: number) => number, n: number, m: number): Int32Array {
  const rowPotential = new Float64Array(n);
  const columnPotential = new Float64Array(m);
  const columnOf = new Int32Array(n).fill(-1);
  const rowOf = new Int32Array(m).fill(-1);
  const distance = new Float64Array(m);
  const previous = new Int32Array(m);
  const done = new Uint8Array(m);
  for (let start = 0; start < n; start++) {
    distance.fill(Number.POSITIVE_INFINITY);
    done.fill(0);
    let row = start;
    let reached = 0;
    let end = -1;
    // Dijkstra over columns, from the free row to the nearest free column.
    while (end < 0) {
      let nearest = -1;
      let smallest = Number.POSITIVE_INFINITY;
      for (let column = 0; column < m; column++) {
        if (done[column] === 1) continue;
        const through = reached + cost(row, column) - rowPotential[row]! - columnPotential[column]!;
        if (through < distance[column]!) {
          distance[column] = through;
          previous[column] = row;
        }
        if (distance[column]! < smallest) {
          smallest = distance[column]!;
          nearest = column;
        }
      }
      reached = smallest;
      done[nearest] = 1;
      if (rowOf[nearest] === -1) end = nearest;
      else row = rowOf[nearest]!;
    }
    rowPotential[start] = rowPotential[start]! + reached;
    for (let column = 0; column < m; column++) {
      if (done[column] === 0 || column === end) continue;
      const slack = reached - distance[column]!;
      columnPotential[column] = columnPotential[column]! - slack;
      const owner = rowOf[column]!;
      rowPotential[owner] = rowPotential[owner]! + slack;
    }
    for (let column = end; ; ) {
      const from = previous[column]!;
      rowOf[column] = from;
      const next = columnOf[from]!;
      columnOf[from] = column;
      if (from === start) break;
      column = next;
    }
  }
  return columnOf;
}
