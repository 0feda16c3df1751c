import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { parse } from "csv-parse";
import { HubError } from "../errors.js";
import { polygonProblem } from "./segmentation-schema.js";
import type { CsvColumn, CsvSchema, DatasetIssue } from "./types.js";

/** Bad lines that a report lists; more would not be read. */
export const MAX_ISSUES = 20;
/** Longest line; a longer one is no table but something else. */
const MAX_RECORD_BYTES = 1 << 20;

/** What a table holds. */
export interface CsvContent {
  readonly rows: number;
  /** Distinct `file_name`s; 0 where the schema has no such column. */
  readonly images: number;
  readonly classes: ReadonlyMap<string, number>;
  readonly warnings: readonly string[];
}

/** What is wrong with `cell`, or null. */
function cellProblem(column: CsvColumn, cell: string): string | null {
  if (cell === "") return column.required ? "is empty" : null;
  if (column.values !== undefined) {
    return Object.hasOwn(column.values, cell)
      ? null
      : `is ${JSON.stringify(cell)}, expected ${Object.keys(column.values).join(", ")}`;
  }
  if (column.type === "string") return null;
  // Number("0x10"), Number(" 1 ") and Number("") are numbers to JavaScript, not to a table.
  const isNumber =
    column.type === "int" ? /^[+-]?\d+$/.test(cell) : /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(cell);
  const value = Number(cell);
  if (!isNumber || !Number.isFinite(value))
    return `is ${JSON.stringify(cell.slice(0, 40))}, expected ${column.type === "int" ? "an integer" : "a number"}`;
  if (column.min !== undefined && value < column.min) {
    return `is ${cell}, expected ${column.min === Number.MIN_VALUE ? "more than 0" : `at least ${column.min}`}`;
  }
  if (column.max !== undefined && value > column.max) return `is ${cell}, expected at most ${column.max}`;
  return null;
}

/**
 * Checks a CSV file against a schema: header, every cell. Further columns are allowed and ignored.
 * @throws {@link HubError} SCHEMA with `missing_columns`, or with the first 20 bad lines in `errors` and their number in `bad_lines`
 */
export async function readCsv(path: string, schema: CsvSchema, signal?: AbortSignal): Promise<CsvContent> {
  const issues: DatasetIssue[] = [];
  let badLines = 0;
  let rows = 0;
  const images = new Set<string>();
  const classes = new Map<string, number>();
  let extra: string[] = [];
  const parser = parse({
    bom: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_RECORD_BYTES,
    info: true,
    columns: (header: string[]) => {
      const names = header.map((name) => name.trim());
      const missing = schema.columns
        .filter(({ name, required }) => required && !names.includes(name))
        .map(({ name }) => name);
      if (missing.length > 0) {
        throw new HubError({
          code: "SCHEMA",
          message: `The table has no column ${missing.join(", ")}. Schema ${schema.id} needs ${schema.columns
            .filter(({ required }) => required)
            .map(({ name }) => name)
            .join(", ")}. Nothing was stored.`,
          details: { missing_columns: missing, columns: names.slice(0, 100) },
        });
      }
      const twice = names.find((name, i) => names.indexOf(name) !== i);
      if (twice !== undefined) {
        throw new HubError({
          code: "SCHEMA",
          message: `The table has two columns ${twice}. Nothing was stored.`,
          details: { columns: names.slice(0, 100) },
        });
      }
      extra = names.filter((name) => !schema.columns.some((column) => column.name === name));
      return names;
    },
  });
  try {
    await pipeline(
      createReadStream(path),
      parser,
      async (records: AsyncIterable<{ record: Record<string, string>; info: { lines: number } }>) => {
        for await (const { record, info } of records) {
          rows++;
          const problems = schema.columns.flatMap((column): DatasetIssue[] => {
            const cell = (record[column.name] ?? "").trim();
            const problem =
              cellProblem(column, cell) ??
              (schema.id === "segmentation" && column.name === "segmentation" && cell !== ""
                ? polygonProblem(cell)
                : null);
            return problem === null
              ? []
              : [{ line: info.lines, column: column.name, message: `${column.name} ${problem}` }];
          });
          if (problems.length > 0) {
            badLines++;
            if (issues.length < MAX_ISSUES) issues.push(problems[0]!);
            continue;
          }
          const file = record["file_name"];
          if (file !== undefined) images.add(file.trim());
          const label = record["class"] ?? record["CLASS"];
          if (label !== undefined) classes.set(label.trim(), (classes.get(label.trim()) ?? 0) + 1);
        }
      },
      { signal },
    );
  } catch (error) {
    if (HubError.isInstance(error)) throw error;
    const { code } = error as { code?: unknown };
    if (typeof code === "string" && code.startsWith("CSV_")) {
      const { lines, message } = error as { lines?: number; message: string };
      throw new HubError({
        code: "SCHEMA",
        message: `The table cannot be read at line ${lines ?? "?"}: ${message}. Nothing was stored.`,
        cause: error,
        details: { errors: [{ ...(lines === undefined ? {} : { line: lines }), message }], bad_lines: 1 },
      });
    }
    throw error;
  }
  if (badLines > 0) {
    throw new HubError({
      code: "SCHEMA",
      message: `${badLines} of ${rows} lines do not fit schema ${schema.id}, the first: line ${issues[0]!.line}, ${issues[0]!.message}. Nothing was stored.`,
      details: { errors: issues, bad_lines: badLines },
    });
  }
  if (rows === 0) {
    throw new HubError({
      code: "SCHEMA",
      message: "The table has no line under its header. Nothing was stored.",
      details: { errors: [], bad_lines: 0 },
    });
  }
  return {
    rows,
    images: images.size,
    classes,
    warnings: extra.length === 0 ? [] : [`columns without a meaning are ignored: ${extra.slice(0, 20).join(", ")}`],
  };
}
