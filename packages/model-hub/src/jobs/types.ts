import type { Json } from "../registry/types.js";

/** Everything that runs as a job. */
export const JOB_KINDS = ["retrain", "install", "layer-pull", "layer-push", "sweep", "gc"] as const;
/** One of {@link JOB_KINDS}. */
export type JobKind = (typeof JOB_KINDS)[number];

/** queued -> running -> succeeded | failed; running -> cancelling -> cancelled; running -> interrupted (its worker was shut down). */
export type JobState = "queued" | "running" | "cancelling" | "succeeded" | "failed" | "cancelled" | "interrupted";

/** After these nothing happens by itself; `resume` leads out of all but `succeeded`. */
export const TERMINAL_STATES: ReadonlySet<JobState> = new Set<JobState>([
  "succeeded",
  "failed",
  "cancelled",
  "interrupted",
]);

/** How far a job is; null where a phase has no such number. */
export interface JobProgress {
  readonly phase: "preparing" | "training" | "evaluating" | "saving" | (string & {});
  readonly epoch: number | null;
  readonly epochs: number | null;
  readonly step: number | null;
  readonly steps: number | null;
  /** 0-100, never decreases within a job. */
  readonly percent: number;
  readonly metrics: Readonly<Record<string, number | null>>;
  /** Seconds; null before two epochs have ended. */
  readonly eta_s: number | null;
}

/** Why a job failed; `code` stays. */
export interface JobError {
  readonly code: string;
  readonly message: string;
  readonly details?: { readonly [key: string]: Json };
}

/** `GET /jobs/{id}`. */
export interface JobRecord {
  readonly id: string;
  readonly kind: JobKind;
  /** At most one job of a target runs at a time; null: no such limit. */
  readonly target: string | null;
  readonly payload: { readonly [key: string]: Json };
  /** Higher first; first in, first out within one priority. */
  readonly priority: number;
  readonly state: JobState;
  /** Leases taken so far. */
  readonly attempts: number;
  readonly max_attempts: number;
  /** Constant over resumes; a version is unique on it. */
  readonly run_id: string;
  readonly progress: JobProgress | null;
  /** Where the run can go on: opaque to the queue. */
  readonly checkpoint: { readonly [key: string]: Json } | null;
  readonly result: { readonly [key: string]: Json } | null;
  readonly error: JobError | null;
  readonly created_by: string | null;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly lease_owner: string | null;
  readonly lease_until: string | null;
  /** Grows with every lease; writes that carry an older number are refused. */
  readonly fence: number;
}

/** Names of the events of a job. */
export type JobEventType = "progress" | "log" | "status" | "done" | "error";

/** `id`, `event` and `data` of `GET /jobs/{id}/events`. `done` and `error` are terminal. */
export interface JobEvent {
  /** Grows within a job. */
  readonly seq: number;
  readonly job_id: string;
  readonly type: JobEventType;
  readonly data: { readonly [key: string]: Json };
  readonly at: string;
}

/** A job as it is asked for. */
export interface EnqueueInput {
  readonly kind: JobKind;
  readonly payload?: { readonly [key: string]: Json };
  readonly target?: string | null;
  /** What to do when a job of the target is not finished: wait behind it, refuse (`CONFLICT`), or return that one. @defaultValue "queue" */
  readonly ifActive?: "queue" | "refuse" | "join";
  /** @defaultValue 0 */
  readonly priority?: number;
  /** @defaultValue 3 */
  readonly maxAttempts?: number;
  readonly created_by?: string | null;
  readonly run_id?: string;
}

/** Jobs, newest first, with their number. */
export interface JobPage {
  /** Newest first. */
  readonly jobs: readonly JobRecord[];
  readonly total: number;
  readonly next_cursor: string | null;
}

/** A worker's hold on a job. */
export interface JobLease {
  readonly job: JobRecord;
  readonly owner: string;
  readonly fence: number;
}

/** How a job ended. */
export type JobOutcome =
  | { readonly state: "succeeded"; readonly result: { readonly [key: string]: Json } }
  | { readonly state: "failed"; readonly error: JobError; readonly retry?: boolean }
  | { readonly state: "cancelled" }
  /** Its worker shuts down: `requeue` hands it to another worker at once. */
  | { readonly state: "interrupted"; readonly requeue?: boolean };

/** Which queue is in use, and where it lies (without secrets). */
export interface JobQueueInfo {
  readonly kind: "sql" | "bullmq";
  readonly location: string;
}

/**
 * Jobs with leases and fencing, on SQLite, PostgreSQL or Redis; one conformance suite over all. The upper half is for clients,
 * the lower half for {@link JobWorkerPort}.
 */
export interface JobQueue {
  readonly info: JobQueueInfo;
  /** @throws HubError QUEUE_FULL, CONFLICT */
  enqueue(input: EnqueueInput): Promise<JobRecord>;
  /** @throws HubError NOT_FOUND */
  get(id: string): Promise<JobRecord>;
  list(options?: { state?: JobState; kind?: JobKind; limit?: number; cursor?: string | null }): Promise<JobPage>;
  /** A queued job ends at once, a running one becomes `cancelling`. @throws HubError NOT_FOUND, INVALID_STATE when finished */
  cancel(id: string, options?: { actor?: string | null }): Promise<JobRecord>;
  /** Queues a cancelled, failed or interrupted job again, same run. @throws HubError NOT_FOUND, INVALID_STATE */
  resume(id: string, options?: { actor?: string | null }): Promise<JobRecord>;
  /** Events with `seq > after`, oldest first. */
  events(id: string, options?: { after?: number; limit?: number }): Promise<readonly JobEvent[]>;
  /** The same, then live; ends after the terminal event or on abort (abort only unsubscribes). */
  watch(id: string, options?: { after?: number; signal?: AbortSignal }): AsyncIterable<JobEvent>;

  /** The next job of `kinds`, leased to `owner`; expired leases count as queued. Null when there is none. */
  claim(options: { owner: string; kinds: readonly JobKind[]; leaseMs?: number }): Promise<JobLease | null>;
  /** Prolongs the lease. @returns whether cancelling was asked for. @throws HubError STALE when the lease is lost */
  heartbeat(lease: JobLease, options?: { leaseMs?: number }): Promise<{ cancelRequested: boolean }>;
  /** @throws HubError STALE when the lease is lost */
  update(
    lease: JobLease,
    change: { progress?: JobProgress; checkpoint?: { readonly [key: string]: Json } },
  ): Promise<void>;
  /** @throws HubError STALE when the lease is lost */
  emit(lease: JobLease, event: { type: "log"; data: { readonly [key: string]: Json } }): Promise<void>;
  /** @throws HubError STALE when the lease is lost */
  finish(lease: JobLease, outcome: JobOutcome): Promise<JobRecord>;
  /** Queues again what expired leases left, fails what is out of attempts, forgets events 7 days after the end. */
  maintain(): Promise<{ readonly requeued: number; readonly failed: number; readonly eventsRemoved: number }>;
  close(): Promise<void>;
}

/** What a handler gets. */
export interface JobContext {
  readonly job: JobRecord;
  /** Aborted when cancelling is asked for, the lease is lost or the worker stops; `signal.reason` is "cancel", "lease-lost" or "stop". */
  readonly signal: AbortSignal;
  progress(progress: JobProgress): void;
  checkpoint(checkpoint: { readonly [key: string]: Json }): Promise<void>;
  log(data: { readonly [key: string]: Json }): Promise<void>;
}

/** Does the work of one kind of job. Its result is stored with the job. */
export type JobHandler = (context: JobContext) => Promise<{ readonly [key: string]: Json }>;

/** Takes jobs of the given kinds and runs their handlers. */
export interface JobWorkerPort {
  start(): void;
  /** Stops taking jobs; running ones are aborted and queued again. */
  stop(): Promise<void>;
}
