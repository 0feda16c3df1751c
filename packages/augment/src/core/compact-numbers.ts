/**
 * JSON of float32 values takes up to 20 characters a number where at most nine digits say the same. Writes them short; {@link expandNumbers} restores
 * every bit. Numbers that are no float32 stay as they are.
 *
 * @example compactNumbers({ u: Math.fround(0.1) }) // { u: 0.1 }
 */
export function compactNumbers<T>(value: T): T {
  return mapNumbers(value, (x) => (Number.isInteger(x) || Math.fround(x) !== x ? x : short(x))) as T;
}

/** The inverse of {@link compactNumbers}. */
export function expandNumbers<T>(value: T): T {
  return mapNumbers(value, (x) => (Number.isInteger(x) || short(Math.fround(x)) !== x ? x : Math.fround(x))) as T;
}

/** The fewest decimal digits, at most nine, that give the float32 back. */
function short(x: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(x.toPrecision(digits));
    if (Math.fround(candidate) === x) return candidate;
  }
  return Number(x.toPrecision(9));
}

function mapNumbers(value: unknown, map: (x: number) => number): unknown {
  if (typeof value === "number") return map(value);
  if (Array.isArray(value)) return value.map((item) => mapNumbers(item, map));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapNumbers(item, map)]));
  }
  return value;
}
