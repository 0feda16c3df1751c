import type { CsvColumn, CsvSchema } from "../datasets/types.js";
import { readCsv } from "./read-csv.js";

/** What a look at a CSV found; the server checks again and decides. */
export interface CsvCheck {
  /** Annotated images (distinct `file_name`), or rows of another table; null when only the beginning was read. */
  readonly records: number | null;
  /** At most {@link MAX_PROBLEMS}; empty when nothing was found. */
  readonly problems: readonly string[];
}

/** As many as the server names. */
export const MAX_PROBLEMS = 20;

function problemOf(text: string, { name, type, required, values, min, max }: CsvColumn): string | null {
  const value = text.trim();
  if (value === "") return required ? `${name} is empty` : null;
  if (values !== undefined) {
    return Object.hasOwn(values, value) ? null : `${name} is "${value}", not one of ${Object.keys(values).join(", ")}`;
  }
  if (type === "string") return null;
  const number = Number(value);
  if (!Number.isFinite(number)) return `${name} is "${value}", not a number`;
  if (type === "int" && !Number.isInteger(number)) return `${name} is ${value}, not a whole number`;
  // The smallest positive number means: anything above 0.
  if (min === Number.MIN_VALUE && number < min) return `${name} is ${value}, not above 0`;
  if (min !== undefined && number < min) return `${name} is ${value}, below ${min}`;
  if (max !== undefined && number > max) return `${name} is ${value}, above ${max}`;
  return null;
}

/**
 * Checks the columns of a CSV, and the values of the lines it has, against `schema`.
 *
 * @param isWhole - false when `text` is only the beginning of the file; its last, cut line is then left out
 */
export function checkCsv(text: string, schema: CsvSchema, { isWhole = true }: { isWhole?: boolean } = {}): CsvCheck {
  const all = readCsv(text);
  const [header, ...body] = all;
  if (header === undefined) return { records: 0, problems: ["The file is empty."] };
  const names = header.cells.map((name) => name.trim());
  const missing = schema.columns.filter(({ name, required }) => required && !names.includes(name));
  if (missing.length > 0) {
    const list = missing.map(({ name }) => name).join(", ");
    return { records: null, problems: [`Missing ${missing.length > 1 ? "columns" : "column"}: ${list}.`] };
  }
  const rows = isWhole ? body : body.slice(0, -1);
  const columns = schema.columns.flatMap((column) => {
    const at = names.indexOf(column.name);
    return at < 0 ? [] : [{ at, column }];
  });
  const problems: string[] = [];
  for (const { line, cells } of rows) {
    if (problems.length >= MAX_PROBLEMS) break;
    if (cells.length !== names.length) {
      problems.push(`Line ${line}: ${cells.length} values for ${names.length} columns`);
      continue;
    }
    for (const { at, column } of columns) {
      const problem = problemOf(cells[at]!, column);
      if (problem !== null && problems.length < MAX_PROBLEMS) problems.push(`Line ${line}: ${problem}`);
    }
  }
  if (rows.length === 0 && isWhole) problems.push("There is no line below the header.");
  const image = names.indexOf("file_name");
  const records = image < 0 ? rows.length : new Set(rows.map(({ cells }) => cells[image])).size;
  return { records: isWhole ? records : null, problems };
}
