import { appendFile, mkdir } from "node:fs/promises";
import { dirname } from "node:path";

/** One line: who did what with which outcome; never a body, a token or a header. */
export interface AuditEntry {
  readonly at: string;
  readonly request_id: string;
  /** Token id, JWT subject, `bootstrap`; null when the caller was not known. */
  readonly actor: string | null;
  readonly actor_name: string | null;
  readonly role: "user" | "admin" | null;
  readonly ip: string;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly action: string;
  /** The version, job, data set or token acted on. */
  readonly target: string | null;
  readonly status: number;
  /** Error code; null on success. */
  readonly code: string | null;
}

/** Where changes and refused attempts are written down. */
export interface AuditLog {
  append(entry: AuditEntry): Promise<void>;
}

/** JSON lines at the end of a file that is never rewritten. */
export class FileAuditLog implements AuditLog {
  readonly path: string;
  #last: Promise<void>;

  constructor(path: string) {
    this.path = path;
    this.#last = mkdir(dirname(path), { recursive: true }).then(() => {});
    // The failure is reported by the first append, which awaits this.
    this.#last.catch(() => {});
  }

  append(entry: AuditEntry): Promise<void> {
    // One write after the other keeps this process's order; O_APPEND keeps lines of several processes whole.
    const written = this.#last.then(() => appendFile(this.path, `${JSON.stringify(entry)}\n`, { mode: 0o600 }));
    this.#last = written.catch(() => {});
    return written;
  }
}
