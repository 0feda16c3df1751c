import { ImportError } from "./errors.js";

/** One place in a source file that cannot be read. */
export interface ImportIssue {
  /** Path relative to the dataset's folder. */
  readonly file: string;
  /** 1-based, null where the format has no lines. */
  readonly line: number | null;
  /** What is there, what was expected, what to do. */
  readonly message: string;
}

/** Issues kept in an error: enough to see the pattern, few enough for a message object. */
const MAX_ISSUES = 50;

/** Collects every unreadable place of an import, so that one run names them all. */
export class ImportIssues {
  readonly #issues: ImportIssue[] = [];
  #count = 0;

  add(file: string, line: number | null, message: string): void {
    this.#count++;
    if (this.#issues.length < MAX_ISSUES) this.#issues.push({ file, line, message });
  }

  get count(): number {
    return this.#count;
  }

  /** @throws ImportError when anything was added */
  throwIfAny(format: string): void {
    if (this.#count > 0) throw new ImportError({ format, issues: this.#issues, count: this.#count });
  }
}
