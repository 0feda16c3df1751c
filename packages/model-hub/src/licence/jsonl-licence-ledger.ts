import { mkdir, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type HubClock, systemClock } from "../internal/clock.js";
import type { LicenceEntry, LicenceLedgerPort } from "../registry/types.js";

/**
 * The licence ledger without a database: one JSON line per installation, only ever appended, synced to disk. A line is one `write` to a
 * file opened for appending, so several processes do not mix theirs; `seq` is the line number. A line that a crash cut short is skipped.
 */
export class JsonlLicenceLedger implements LicenceLedgerPort {
  readonly #path: string;
  readonly #clock: HubClock;

  constructor({ path, clock = systemClock }: { path: string; clock?: HubClock }) {
    this.#path = path;
    this.#clock = clock;
  }

  async append(entry: Omit<LicenceEntry, "seq" | "at">): Promise<LicenceEntry> {
    const at = new Date(this.#clock.now()).toISOString();
    await mkdir(dirname(this.#path), { recursive: true });
    const file = await open(this.#path, "a+");
    try {
      const { size } = await file.stat();
      const last = Buffer.alloc(1);
      if (size > 0) await file.read(last, 0, 1, size - 1);
      // Ends a line that a crash left open, so that it spoils nothing but itself.
      const lead = size > 0 && last[0] !== 10 ? "\n" : "";
      await file.appendFile(`${lead}${JSON.stringify({ ...entry, at })}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    return { ...entry, at, seq: (await this.#read()).length };
  }

  async list({ id, limit = 1000 }: { id?: string; limit?: number } = {}): Promise<readonly LicenceEntry[]> {
    const entries = await this.#read();
    return entries.filter((entry) => id === undefined || entry.id === id).slice(-limit);
  }

  async #read(): Promise<LicenceEntry[]> {
    let text: string;
    try {
      text = await readFile(this.#path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
    const entries: LicenceEntry[] = [];
    for (const line of text.split("\n")) {
      if (line === "") continue;
      try {
        entries.push({ ...(JSON.parse(line) as Omit<LicenceEntry, "seq">), seq: entries.length + 1 });
      } catch {
        // The half line of a crash.
      }
    }
    return entries;
  }
}
