import { CommandError } from "../errors.js";

/**
 * Reads `results.csv`: a header line, then numbers. Empty cells (an epoch that was not evaluated) and cells missing at the end of a line are
 * null; `nan`, `inf` and `-inf` stay what they are. Blanks around cells, a byte order mark and CRLF are accepted. A last line without its
 * newline that is shorter than the header is a write that was cut off; it is dropped.
 *
 * @throws {@link CommandError} `cli/results-csv` naming line and column of a cell that is not a number or beyond the header
 * @example parseResultsCsv("epoch,loss\n1,0.5\n2,\n") // { columns: ["epoch", "loss"], rows: [[1, 0.5], [2, null]] }
 */
export function parseResultsCsv(text: string): { columns: string[]; rows: (number | null)[][] } {
  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\n|\r/);
  const isComplete = lines.at(-1) === "";
  const header = lines[0] ?? "";
  if (header.trim() === "") return { columns: [], rows: [] };
  const columns = header.split(",").map((name) => name.trim());
  const rows: (number | null)[][] = [];
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i]!;
    if (line.trim() === "") continue;
    const cells = line.split(",");
    if (i === lines.length - 1 && !isComplete && cells.length < columns.length) continue;
    if (cells.length > columns.length) {
      throw new CommandError({
        code: "cli/results-csv",
        message: `results.csv line ${i + 1} has ${cells.length} cells, the header ${columns.length}. The file was mixed from two runs; delete it and resume.`,
      });
    }
    rows.push(columns.map((column, k) => parseCell({ text: cells[k] ?? "", line: i + 1, column })));
  }
  return { columns, rows };
}

function parseCell({ text, line, column }: { text: string; line: number; column: string }): number | null {
  const cell = text.trim();
  if (cell === "") return null;
  if (/^[+-]?nan$/i.test(cell)) return Number.NaN;
  const infinite = /^([+-]?)inf(inity)?$/i.exec(cell);
  if (infinite) return infinite[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(cell) ? Number(cell) : Number.NaN;
  if (!Number.isFinite(value)) {
    throw new CommandError({
      code: "cli/results-csv",
      message: `results.csv line ${line}, column "${column}": expected a number or nothing, got "${cell.slice(0, 40)}".`,
    });
  }
  return value;
}
