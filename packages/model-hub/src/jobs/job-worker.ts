import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import process from "node:process";
import { HubError } from "../errors.js";
import { type HubClock, systemClock } from "../internal/clock.js";
import type { Json } from "../registry/types.js";
import { LEASE_MS } from "./job-rules.js";
import type {
  JobContext,
  JobError,
  JobHandler,
  JobKind,
  JobLease,
  JobOutcome,
  JobProgress,
  JobQueue,
  JobWorkerPort,
} from "./types.js";

const HEARTBEAT_MS = 10_000;
/** How soon a cancellation by another process is noticed. */
const CANCEL_CHECK_MS = 1000;
/** At most four progress events a second. */
const PROGRESS_MS = 250;

/** Why a handler's signal was aborted. */
export type StopReason = "cancel" | "lease-lost" | "stop";

/** Which jobs a worker takes, and how many at a time. */
export interface JobWorkerOptions {
  readonly queue: JobQueue;
  readonly handlers: Partial<Record<JobKind, JobHandler>>;
  /** Jobs at a time. @defaultValue 1 */
  readonly concurrency?: number;
  /** @defaultValue host, process and a random part */
  readonly owner?: string;
  /** @defaultValue 30_000 */
  readonly leaseMs?: number;
  /** @defaultValue 10_000 */
  readonly heartbeatMs?: number;
  /** How often an idle worker looks for jobs. @defaultValue 500 */
  readonly pollMs?: number;
  /** @defaultValue 1000 */
  readonly cancelCheckMs?: number;
  readonly clock?: HubClock;
  /** The queue could not be reached; the worker tries again. @defaultValue ignored */
  readonly onError?: (error: unknown) => void;
}

/**
 * Runs handlers under leases: a heartbeat keeps each lease, a lost one aborts its handler, a stop hands the jobs back. A handler that keeps
 * the event loop busy loses its lease, so computing belongs into a child process.
 */
export class JobWorker implements JobWorkerPort {
  readonly #options: Required<JobWorkerOptions>;
  readonly #stop = new AbortController();
  readonly #running = new Set<AbortController>();
  #lanes: Promise<void>[] = [];

  constructor(options: JobWorkerOptions) {
    this.#options = {
      concurrency: 1,
      owner: `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`,
      leaseMs: LEASE_MS,
      heartbeatMs: HEARTBEAT_MS,
      pollMs: 500,
      cancelCheckMs: CANCEL_CHECK_MS,
      clock: systemClock,
      onError: () => undefined,
      ...options,
    };
  }

  start(): void {
    if (this.#lanes.length > 0) return;
    this.#lanes = Array.from({ length: this.#options.concurrency }, () => this.#lane());
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    for (const running of this.#running) running.abort("stop" satisfies StopReason);
    await Promise.all(this.#lanes);
  }

  async #lane(): Promise<void> {
    const { queue, handlers, owner, leaseMs, pollMs, clock, onError } = this.#options;
    const kinds = Object.keys(handlers) as JobKind[];
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const lease = await queue.claim({ owner, kinds, leaseMs });
        if (lease !== null) {
          await this.#run(lease);
          continue;
        }
      } catch (error) {
        onError(error);
      }
      await clock.sleep(pollMs, signal).catch(() => undefined);
    }
  }

  async #run(lease: JobLease): Promise<void> {
    const { queue, handlers, onError } = this.#options;
    const controller = new AbortController();
    this.#running.add(controller);
    if (this.#stop.signal.aborted) controller.abort("stop" satisfies StopReason);
    const over = new AbortController();
    const lost = (error: unknown) => {
      if (HubError.isInstance(error) && error.code === "STALE") controller.abort("lease-lost" satisfies StopReason);
      else onError(error);
    };
    const progress = new ProgressWriter(queue, lease, this.#options.clock, lost);
    const watching = [
      this.#keepLease(lease, controller, over.signal, lost),
      this.#watchCancel(lease, controller, over.signal),
    ];
    const context: JobContext = {
      job: lease.job,
      signal: controller.signal,
      progress: (value) => progress.put(value),
      checkpoint: async (checkpoint) => queue.update(lease, { checkpoint }),
      log: async (data) => queue.emit(lease, { type: "log", data }),
    };
    let outcome: JobOutcome;
    try {
      const result = await handlers[lease.job.kind]!(context);
      outcome = { state: "succeeded", result };
    } catch (error) {
      const reason = controller.signal.aborted ? (controller.signal.reason as StopReason) : null;
      if (reason === "cancel") outcome = { state: "cancelled" };
      else if (reason === "stop") outcome = { state: "interrupted", requeue: true };
      else outcome = { state: "failed", error: describeError(error), retry: isWorthRetrying(error) };
    }
    over.abort();
    await Promise.all(watching);
    this.#running.delete(controller);
    if (controller.signal.reason === "lease-lost") return;
    try {
      await progress.flush();
      await queue.finish(lease, outcome);
    } catch (error) {
      // Lost at the last moment, or the queue is away: the lease runs out and another worker takes over.
      lost(error);
    }
  }

  async #keepLease(lease: JobLease, controller: AbortController, over: AbortSignal, lost: (error: unknown) => void) {
    const { queue, clock, heartbeatMs, leaseMs } = this.#options;
    for (;;) {
      await clock.sleep(heartbeatMs, over).catch(() => undefined);
      if (over.aborted) return;
      try {
        const { cancelRequested } = await queue.heartbeat(lease, { leaseMs });
        if (cancelRequested) controller.abort("cancel" satisfies StopReason);
      } catch (error) {
        lost(error);
      }
    }
  }

  async #watchCancel(lease: JobLease, controller: AbortController, over: AbortSignal) {
    const { queue, clock, cancelCheckMs, onError } = this.#options;
    for (;;) {
      await clock.sleep(cancelCheckMs, over).catch(() => undefined);
      if (over.aborted || controller.signal.aborted) return;
      try {
        if ((await queue.get(lease.job.id)).state === "cancelling") controller.abort("cancel" satisfies StopReason);
      } catch (error) {
        onError(error);
      }
    }
  }
}

/** Writes the newest progress, at most one every 250 ms, the last one always. */
class ProgressWriter {
  readonly #write: (progress: JobProgress) => Promise<void>;
  readonly #clock: HubClock;
  #next: JobProgress | null = null;
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  #lastMs = Number.NEGATIVE_INFINITY;
  readonly #flush = new AbortController();

  constructor(queue: JobQueue, lease: JobLease, clock: HubClock, onError: (error: unknown) => void) {
    this.#write = (progress) => queue.update(lease, { progress }).catch(onError);
    this.#clock = clock;
  }

  put(progress: JobProgress): void {
    this.#next = progress;
    if (this.#isWriting) return;
    this.#isWriting = true;
    this.#writing = this.#drain();
  }

  async #drain(): Promise<void> {
    while (this.#next !== null) {
      const wait = this.#lastMs + PROGRESS_MS - this.#clock.now();
      if (wait > 0) await this.#clock.sleep(wait, this.#flush.signal).catch(() => undefined);
      const progress = this.#next;
      this.#next = null;
      this.#lastMs = this.#clock.now();
      await this.#write(progress);
    }
    this.#isWriting = false;
  }

  async flush(): Promise<void> {
    this.#flush.abort();
    await this.#writing;
  }
}

/** An error as a job keeps it; nothing of a stack. */
export function describeError(error: unknown): JobError {
  if (HubError.isInstance(error)) {
    return {
      code: error.code,
      message: error.message,
      details: JSON.parse(JSON.stringify(error.details)) as { readonly [key: string]: Json },
    };
  }
  return { code: "INTERNAL", message: error instanceof Error ? error.message : String(error) };
}

/** What may go better next time: losses of a connection, not refusals. */
const RETRYABLE: ReadonlySet<string> = new Set(["SOURCE_UNAVAILABLE", "DOWNLOAD_FAILED", "POOL_FULL", "POOL_TIMEOUT"]);
const isWorthRetrying = (error: unknown): boolean => HubError.isInstance(error) && RETRYABLE.has(error.code);
