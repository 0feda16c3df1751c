import type { HubClock } from "../internal/clock.js";

/** State of a download of one or several files. Bytes never decrease. */
export interface DownloadProgress {
  readonly phase: "resolving" | "downloading" | "verifying" | "linking" | "done";
  /** File that moved last. */
  readonly file: string | null;
  readonly doneBytes: number;
  /** Null while a size is unknown. */
  readonly totalBytes: number | null;
  readonly filesDone: number;
  readonly filesTotal: number;
  readonly bytesPerS: number | null;
  readonly etaS: number | null;
}

/** At most ten events a second. */
const MIN_INTERVAL_MS = 100;
const ORDER: readonly DownloadProgress["phase"][] = ["resolving", "downloading", "verifying", "linking", "done"];

/** Joins the progress of files that download side by side into one monotonic stream; the last event is always delivered. */
export class ProgressMeter {
  readonly #clock: HubClock;
  readonly #listen: ((progress: DownloadProgress) => void) | undefined;
  readonly #done = new Map<string, number>();
  readonly #sizes: ReadonlyMap<string, number | null>;
  /** Bytes that were there at the start and say nothing about speed. */
  #startBytes: number | null = null;
  #startMs = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #phase: DownloadProgress["phase"] = "resolving";
  #best = 0;
  #filesDone = 0;

  constructor({
    clock,
    listen,
    sizes,
  }: {
    clock: HubClock;
    listen: ((progress: DownloadProgress) => void) | undefined;
    sizes: ReadonlyMap<string, number | null>;
  }) {
    this.#clock = clock;
    this.#listen = listen;
    this.#sizes = sizes;
  }

  moved(file: string, doneBytes: number): void {
    this.#done.set(file, Math.max(doneBytes, this.#done.get(file) ?? 0));
    this.#emit(file, "downloading", false);
  }

  finished(file: string, bytes: number): void {
    this.#done.set(file, bytes);
    this.#filesDone++;
    this.#emit(file, "downloading", false);
  }

  phase(phase: DownloadProgress["phase"], file: string | null = null): void {
    this.#emit(file, phase, phase === "done" || phase === "resolving");
  }

  #emit(file: string | null, phase: DownloadProgress["phase"], isForced: boolean): void {
    const now = this.#clock.now();
    const changesPhase = ORDER.indexOf(phase) > ORDER.indexOf(this.#phase);
    if (changesPhase) this.#phase = phase;
    if (this.#listen === undefined || (!isForced && now - this.#lastMs < MIN_INTERVAL_MS)) return;
    this.#lastMs = now;
    let sum = 0;
    for (const bytes of this.#done.values()) sum += bytes;
    this.#best = Math.max(this.#best, sum);
    if (this.#startBytes === null) {
      this.#startBytes = this.#best;
      this.#startMs = now;
    }
    const sizes = [...this.#sizes.values()];
    const totalBytes = sizes.every((size) => size !== null) ? sizes.reduce<number>((a, b) => a + b!, 0) : null;
    const seconds = (now - this.#startMs) / 1000;
    const bytesPerS = seconds > 0 ? (this.#best - this.#startBytes) / seconds : null;
    const left = totalBytes === null ? null : totalBytes - this.#best;
    this.#listen({
      phase: this.#phase,
      file,
      doneBytes: this.#best,
      totalBytes,
      filesDone: this.#filesDone,
      filesTotal: this.#sizes.size,
      bytesPerS,
      etaS: left !== null && bytesPerS !== null && bytesPerS > 0 ? left / bytesPerS : null,
    });
  }
}
