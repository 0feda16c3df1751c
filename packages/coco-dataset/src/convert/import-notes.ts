import { type Finding, listSome, MAX_FINDING_IDS } from "../findings.js";

/** Collects what an importer leaves out or approximates, by kind, and words it as findings. */
export class ImportNotes {
  readonly #kinds = new Map<string, { severity: "warn" | "info"; text: string; files: string[]; count: number }>();

  /**
   * @param code - stable code of the finding
   * @param text - what happened and what to do; the same for all of a kind
   */
  add({ code, severity, text, file }: { code: string; severity: "warn" | "info"; text: string; file: string }): void {
    const key = `${code} ${text}`;
    let kind = this.#kinds.get(key);
    if (kind === undefined) {
      kind = { severity, text, files: [], count: 0 };
      this.#kinds.set(key, kind);
    }
    kind.count++;
    if (kind.files.at(-1) !== file) kind.files.push(file);
  }

  findings(): Finding[] {
    return [...this.#kinds].map(([key, { severity, text, files, count }]) => ({
      code: key.slice(0, key.indexOf(" ")),
      severity,
      layer: "structural",
      message: `${text} In ${listSome(files)}.`,
      count,
      ids: [],
      files: files.slice(0, MAX_FINDING_IDS),
    }));
  }
}
