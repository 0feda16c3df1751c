import type { TrainerProgress, TrainingContext } from "@seg/model-hub";
import type { Output } from "../output.js";

/** Numbers for a report: NaN and infinity are unknown. */
export const finite = (losses: Readonly<Record<string, number>> | undefined): Record<string, number | null> =>
  Object.fromEntries(
    Object.entries(losses ?? {}).map(([name, value]) => [name, Number.isFinite(value) ? value : null]),
  );

/** A report with the checkpoint that it follows. */
export interface Entry {
  readonly report: TrainerProgress;
  readonly saved: { readonly epoch: number; readonly step: number } | null;
}

/** Callbacks in, an async iterable out. */
export class TrainerReports implements AsyncIterable<Entry> {
  readonly #entries: Entry[] = [];
  #wake: () => void = () => {};
  #end: { readonly error: unknown } | null = null;

  push(report: TrainerProgress, saved: Entry["saved"] = null): void {
    this.#entries.push({ report, saved });
    this.#wake();
  }
  end(error: unknown): void {
    this.#end = { error };
    this.#wake();
  }

  /** Runs a command of seg; its reports as they come, its failure at the end. */
  async *follow(
    run: (reports: this) => Promise<void>,
    saveCheckpoint: TrainingContext["saveCheckpoint"],
  ): AsyncGenerator<TrainerProgress> {
    const running = run(this).then(
      () => this.end(null),
      (error: unknown) => this.end(error),
    );
    for await (const { report, saved } of this) {
      // The run keeps its own state; the hub only needs to know that there is some.
      if (saved !== null) await saveCheckpoint(Buffer.from(JSON.stringify(saved)), saved);
      yield report;
    }
    await running;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Entry> {
    for (;;) {
      const entry = this.#entries.shift();
      if (entry !== undefined) yield entry;
      else if (this.#end !== null) {
        if (this.#end.error !== null) throw this.#end.error;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

/** Output of a command whose lines go to the job's log, and whose events and result are read. */
export const jobOutput = ({
  log,
  event,
  result,
}: Pick<Output, "event" | "result"> & { log(message: string): void }): Output => ({
  json: true,
  line: log,
  progress() {},
  settle() {},
  event,
  result,
});
