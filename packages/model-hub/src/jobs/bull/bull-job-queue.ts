import { randomUUID } from "node:crypto";
import type { Job, Queue, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { HubError } from "../../errors.js";
import { type HubClock, systemClock } from "../../internal/clock.js";
import { parseCursor, parseLimit, writeCursor } from "../../registry/parse.js";
import type { HubEvent, Json, JsonObject } from "../../registry/types.js";
import type { SqlDriver } from "../../sql/driver.js";
import type { HubEvents } from "../../webhooks/hub-events.js";
import { JobFeeds } from "../job-feed.js";
import { EVENTS_KEPT_MS, eventTypeOf, LEASE_MS } from "../job-rules.js";
import { lostWorkers, parseEnqueue, queueFull, staleLease, targetBusy, unknownJob, wrongState } from "../parse-job.js";
import {
  type EnqueueInput,
  type JobEvent,
  type JobEventType,
  type JobKind,
  type JobLease,
  type JobOutcome,
  type JobPage,
  type JobProgress,
  type JobQueue,
  type JobQueueInfo,
  type JobRecord,
  type JobState,
  TERMINAL_STATES,
} from "../types.js";
import { SCRIPTS } from "./scripts.js";

/** BullMQ's priorities are 1 (first) to 2^21; ours are -1000 to 1000, higher first. */
const bullPriority = (priority: number): number => 1001 - priority;
const PAGE = 200;

/** Where the queue on Redis is, and who hears of its jobs. */
export interface BullJobQueueOptions {
  /** `redis://...`, or the path of a Unix socket. */
  readonly url: string;
  readonly events: HubEvents;
  /** Where webhook calls for job events are queued; without it only this process' subscribers are told. */
  readonly sql?: SqlDriver;
  /** Begins every key. @defaultValue "seg-hub" */
  readonly prefix?: string;
  readonly clock?: HubClock;
  /** @defaultValue 10_000 */
  readonly maxQueued?: number;
  /** How often watchers look. @defaultValue 250 */
  readonly pollMs?: number;
  /** How often BullMQ looks for jobs whose lock has run out; one is found at the second look. @defaultValue 15_000 */
  readonly stalledIntervalMs?: number;
}

/**
 * Jobs in Redis 7 or later through BullMQ: BullMQ keeps the order, the locks and finds lost workers; what it has no word for (fences, events
 * with numbers, one job per target, cancelling) is kept beside it by scripts that are atomic. A job is in BullMQ's queue only while its
 * target lets it run.
 */
export class BullJobQueue implements JobQueue {
  readonly info: JobQueueInfo;
  readonly #redis: Redis;
  readonly #bull: typeof import("bullmq");
  readonly #prefix: string;
  readonly #events: HubEvents;
  readonly #sql: SqlDriver | null;
  readonly #clock: HubClock;
  readonly #maxQueued: number;
  readonly #stalledIntervalMs: number;
  readonly #feeds: JobFeeds;
  readonly #queues = new Map<JobKind, Queue>();
  readonly #workers = new Map<JobKind, Worker>();
  /** BullMQ's side of the leases of this process. */
  readonly #locks = new Map<string, { readonly job: Job; readonly token: string }>();

  private constructor(
    {
      url,
      events,
      sql,
      prefix = "seg-hub",
      clock = systemClock,
      maxQueued = 10_000,
      pollMs = 250,
      stalledIntervalMs = 15_000,
    }: BullJobQueueOptions,
    redis: Redis,
    bull: typeof import("bullmq"),
  ) {
    this.#redis = redis;
    this.#bull = bull;
    this.#prefix = `${prefix}:`;
    this.#events = events;
    this.#sql = sql ?? null;
    this.#clock = clock;
    this.#maxQueued = maxQueued;
    this.#stalledIntervalMs = stalledIntervalMs;
    this.info = { kind: "bullmq", location: url.includes("://") ? `redis://${new URL(url).host}` : url };
    this.#feeds = new JobFeeds({ queue: this, clock, pollMs });
  }

  /** @throws {@link HubError} INVALID_REQUEST when bullmq or ioredis is not installed */
  static async open(options: BullJobQueueOptions): Promise<BullJobQueue> {
    let bull: typeof import("bullmq");
    let redis: Redis;
    try {
      bull = await import("bullmq");
      const { Redis: Client } = await import("ioredis");
      // BullMQ asks for this: its blocking commands must not be given up.
      redis = new Client(options.url, { maxRetriesPerRequest: null });
    } catch (error) {
      throw new HubError({
        code: "INVALID_REQUEST",
        message: "A queue in Redis needs two packages that are not installed. Run: npm install bullmq ioredis",
        cause: error,
      });
    }
    const queue = new BullJobQueue(options, redis, bull);
    redis.on("error", () => undefined);
    await redis.ping();
    return queue;
  }

  #queue(kind: JobKind): Queue {
    let queue = this.#queues.get(kind);
    if (queue === undefined) {
      queue = new this.#bull.Queue(kind, { connection: this.#redis, prefix: `${this.#prefix}bull` });
      queue.on("error", () => undefined);
      this.#queues.set(kind, queue);
    }
    return queue;
  }

  async #worker(kind: JobKind): Promise<Worker> {
    let worker = this.#workers.get(kind);
    if (worker === undefined) {
      worker = new this.#bull.Worker(kind, null, {
        connection: this.#redis,
        prefix: `${this.#prefix}bull`,
        autorun: false,
        lockDuration: LEASE_MS,
        stalledInterval: this.#stalledIntervalMs,
        // Attempts are counted here; BullMQ only finds the lost ones.
        maxStalledCount: 1_000_000,
      });
      worker.on("error", () => undefined);
      await worker.waitUntilReady();
      await worker.startStalledCheckTimer();
      this.#workers.set(kind, worker);
    }
    return worker;
  }

  #run(script: keyof typeof SCRIPTS, ...args: (string | number)[]): Promise<unknown> {
    return this.#redis.eval(SCRIPTS[script], 0, this.#prefix, ...args);
  }

  #event(type: JobEventType, data: JsonObject): string {
    return JSON.stringify({ type, data, at: this.#at() });
  }

  #status(state: JobState, data: JsonObject = {}): string {
    return this.#event(eventTypeOf(state), { state, ...data });
  }

  async enqueue(input: EnqueueInput): Promise<JobRecord> {
    const parsed = parseEnqueue(input);
    const id = randomUUID();
    const [outcome, detail] = (await this.#run(
      "enqueue",
      id,
      parsed.target ?? "",
      parsed.ifActive,
      this.#maxQueued,
      this.#status("queued"),
      ...Object.entries({
        kind: parsed.kind,
        target: parsed.target ?? "",
        payload: JSON.stringify(parsed.payload),
        priority: parsed.priority,
        state: "queued",
        attempts: 0,
        max_attempts: parsed.maxAttempts,
        run_id: parsed.run_id ?? id,
        created_by: parsed.created_by === null ? "" : JSON.stringify(parsed.created_by),
        created_at: this.#at(),
        fence: 0,
      }).flat(),
    )) as [string, string];
    if (outcome === "open") {
      if (parsed.ifActive === "join") return this.get(detail);
      throw targetBusy(parsed.target!, detail);
    }
    if (outcome === "full") throw queueFull(this.#maxQueued);
    if (detail === "1") await this.#admit(id);
    const job = await this.get(id);
    await this.#tell(job, "queued");
    return job;
  }

  /** Puts a job that may run into BullMQ's queue; doing so twice changes nothing. */
  async #admit(id: string): Promise<void> {
    const { kind, priority } = await this.get(id);
    await this.#queue(kind).add(
      kind,
      { id },
      { jobId: id, priority: bullPriority(priority), removeOnComplete: true, removeOnFail: true },
    );
  }

  async #admitNext(id: string): Promise<void> {
    if (id !== "") await this.#admit(id);
  }

  async get(id: string): Promise<JobRecord> {
    const fields = await this.#redis.hgetall(`${this.#prefix}job:${id}`);
    if (fields["kind"] === undefined) throw unknownJob(id);
    return toRecord(id, fields);
  }

  async list({
    state,
    kind,
    limit,
    cursor,
  }: {
    state?: JobState;
    kind?: JobKind;
    limit?: number;
    cursor?: string | null;
  } = {}): Promise<JobPage> {
    const size = parseLimit(limit);
    const before = parseCursor(cursor);
    const wanted: { job: JobRecord; seq: number }[] = [];
    let total = 0;
    // Redis keeps no index by state or kind; the jobs of a hub are few enough to be looked at.
    for (let offset = 0; ; offset += PAGE) {
      const ids = await this.#redis.zrevrange(`${this.#prefix}jobs`, offset, offset + PAGE - 1);
      if (ids.length === 0) break;
      const rows = await Promise.all(ids.map((id) => this.#redis.hgetall(`${this.#prefix}job:${id}`)));
      for (const [i, fields] of rows.entries()) {
        const job = toRecord(ids[i]!, fields);
        if ((state !== undefined && job.state !== state) || (kind !== undefined && job.kind !== kind)) continue;
        total++;
        const seq = Number(fields["seq"]);
        if (wanted.length <= size && (before === null || seq < before)) wanted.push({ job, seq });
      }
    }
    const page = wanted.slice(0, size);
    return {
      jobs: page.map(({ job }) => job),
      total,
      next_cursor: wanted.length > size ? writeCursor(page.at(-1)!.seq) : null,
    };
  }

  async cancel(id: string, { actor = null }: { actor?: string | null } = {}): Promise<JobRecord> {
    const { kind } = await this.get(id);
    const [was, next] = (await this.#run(
      "cancel",
      id,
      this.#at(),
      this.#status("cancelled", { actor }),
      this.#status("cancelling", { actor }),
      EVENTS_KEPT_MS,
    )) as [JobState, string];
    if (TERMINAL_STATES.has(was)) throw wrongState(id, was, "cancelled");
    const job = await this.get(id);
    if (was === "queued") {
      await this.#queue(kind).remove(id);
      await this.#admitNext(next);
      await this.#tell(job, "cancelled");
    } else if (was === "running") await this.#tell(job, "cancelling");
    return job;
  }

  async resume(id: string, { actor = null }: { actor?: string | null } = {}): Promise<JobRecord> {
    await this.get(id);
    const [was, mayGo] = (await this.#run("resume", id, this.#status("queued", { actor }))) as [JobState, string];
    if (mayGo === "") throw wrongState(id, was, "resumed");
    if (mayGo === "1") await this.#admit(id);
    const job = await this.get(id);
    await this.#tell(job, "queued");
    return job;
  }

  async events(
    id: string,
    { after = 0, limit = 1000 }: { after?: number; limit?: number } = {},
  ): Promise<readonly JobEvent[]> {
    const rows = await this.#redis.lrange(`${this.#prefix}events:${id}`, after, after + limit - 1);
    return rows.map((row, i) => ({
      seq: after + i + 1,
      job_id: id,
      ...(JSON.parse(row) as Pick<JobEvent, "type" | "data" | "at">),
    }));
  }

  watch(id: string, options: { after?: number; signal?: AbortSignal } = {}): AsyncIterable<JobEvent> {
    return this.#feeds.watch(id, options);
  }

  async claim({
    owner,
    kinds,
    leaseMs = LEASE_MS,
  }: {
    owner: string;
    kinds: readonly JobKind[];
    leaseMs?: number;
  }): Promise<JobLease | null> {
    await this.#expire();
    for (const kind of kinds) {
      const worker = await this.#worker(kind);
      for (;;) {
        // A token of its own for each lease, so that a lost one cannot touch the lock of its successor.
        const token = `${owner}:${randomUUID()}`;
        const bullJob = (await worker.getNextJob(token, { block: false })) as Job | undefined;
        if (bullJob === undefined) break;
        const { id } = bullJob.data as { id: string };
        const answer = (await this.#run(
          "claim",
          id,
          owner,
          leaseMs,
          this.#at(),
          this.#status("running", { owner }),
          this.#status("queued", { reason: "lease expired" }),
        )) as string;
        if (answer === "busy") {
          // The lock ran out a moment before the lease: BullMQ gives it again.
          await bullJob.moveToWait(token);
          break;
        }
        if (answer === "drop") {
          await bullJob.moveToCompleted(null, token, false);
          await this.#expire();
          continue;
        }
        await bullJob.extendLock(token, leaseMs);
        const job = await this.get(id);
        const lease: JobLease = { job, owner, fence: Number(answer) };
        this.#locks.set(lockKey(lease), { job: bullJob, token });
        await this.#tell(job, "running");
        return lease;
      }
    }
    return null;
  }

  async #held(lease: JobLease, ...args: (string | number)[]): Promise<string> {
    const { job, owner, fence } = lease;
    const answer = (await this.#run("held", job.id, owner, fence, ...args)) as string;
    if (answer === "stale") {
      this.#locks.delete(lockKey(lease));
      throw staleLease(job.id, fence);
    }
    this.#feeds.poke(job.id);
    return answer;
  }

  async heartbeat(
    lease: JobLease,
    { leaseMs = LEASE_MS }: { leaseMs?: number } = {},
  ): Promise<{ cancelRequested: boolean }> {
    const state = await this.#held(lease, "heartbeat", leaseMs);
    const lock = this.#locks.get(lockKey(lease));
    // BullMQ may have given the lock up already although the lease holds; then it offers the job, and the claim is answered "busy".
    await lock?.job.extendLock(lock.token, leaseMs).catch(() => undefined);
    return { cancelRequested: state === "cancelling" };
  }

  async update(
    lease: JobLease,
    { progress, checkpoint }: { progress?: JobProgress; checkpoint?: JsonObject },
  ): Promise<void> {
    const fields: string[] = [];
    let event = "";
    if (checkpoint !== undefined) fields.push("checkpoint", JSON.stringify(checkpoint));
    if (progress !== undefined) {
      // Only the holder of the lease writes progress, and the write checks the fence.
      const before = (await this.get(lease.job.id)).progress?.percent ?? 0;
      const shown = { ...progress, percent: Math.max(progress.percent, before) };
      fields.push("progress", JSON.stringify(shown));
      event = this.#event("progress", shown as unknown as JsonObject);
    }
    if (fields.length > 0) await this.#held(lease, "write", event, ...fields);
  }

  async emit(lease: JobLease, { type, data }: { type: "log"; data: JsonObject }): Promise<void> {
    await this.#held(lease, "write", this.#event(type, data));
  }

  async finish(lease: JobLease, outcome: JobOutcome): Promise<JobRecord> {
    const { id } = lease.job;
    const now = await this.get(id);
    const isCancelled = outcome.state === "cancelled" || (outcome.state !== "succeeded" && now.state === "cancelling");
    const isRetry = outcome.state === "failed" && outcome.retry === true && now.attempts < now.max_attempts;
    const isHandedBack = outcome.state === "interrupted" && outcome.requeue === true;
    if (!isCancelled && (isRetry || isHandedBack)) {
      const reason: JsonObject =
        outcome.state === "failed"
          ? { reason: "retry", error: outcome.error as unknown as Json }
          : { reason: "worker stopped" };
      await this.#held(lease, "requeue", this.#status("queued", reason), isHandedBack ? 1 : 0);
      await this.#unlock(lease, (job, token) => job.moveToWait(token));
      const job = await this.get(id);
      await this.#tell(job, "queued");
      return job;
    }
    const state: JobState = isCancelled ? "cancelled" : outcome.state;
    const fields: string[] = [];
    let data: JsonObject = {};
    if (!isCancelled && outcome.state === "succeeded") {
      fields.push("result", JSON.stringify(outcome.result));
      data = { result: outcome.result };
    }
    if (!isCancelled && outcome.state === "failed") {
      fields.push("error", JSON.stringify(outcome.error));
      data = { error: outcome.error as unknown as Json };
    }
    const answer = await this.#held(
      lease,
      "end",
      state,
      this.#at(),
      this.#status(state, data),
      EVENTS_KEPT_MS,
      ...fields,
    );
    await this.#unlock(lease, (job, token) => job.moveToCompleted(null, token, false));
    await this.#admitNext(answer.slice("next:".length));
    const job = await this.get(id);
    await this.#tell(job, state);
    return job;
  }

  async #unlock(lease: JobLease, move: (job: Job, token: string) => Promise<unknown>): Promise<void> {
    const lock = this.#locks.get(lockKey(lease));
    this.#locks.delete(lockKey(lease));
    if (lock === undefined) return;
    // Without the lock BullMQ refuses; it will offer the job again, and the claim finds what became of it.
    await move(lock.job, lock.token).catch(() => undefined);
  }

  async #expire(): Promise<{ requeued: number; failed: number }> {
    const error = JSON.stringify({ ...lostWorkers(0), message: lostWorkers(0).message.replace("0", "%ATTEMPTS%") });
    const parts = (await this.#run(
      "expire",
      this.#at(),
      EVENTS_KEPT_MS,
      this.#status("cancelled", { reason: "lease expired" }),
      this.#status("queued", { reason: "lease expired" }),
      this.#status("failed", { error: JSON.parse(error) as Json }),
      error,
    )) as string[];
    let requeued = 0;
    let failed = 0;
    for (let i = 0; i < parts.length; i += 3) {
      const [id, state, next] = parts.slice(i, i + 3) as [string, JobState, string];
      if (state === "queued") requeued++;
      if (state === "failed") failed++;
      await this.#admitNext(next);
      this.#feeds.poke(id);
      await this.#tell(await this.get(id), state);
    }
    return { requeued, failed };
  }

  async maintain(): Promise<{ readonly requeued: number; readonly failed: number; readonly eventsRemoved: number }> {
    const expired = await this.#expire();
    // A process may have died between the script that let a job go and BullMQ's queue.
    for (const id of await this.#redis.smembers(`${this.#prefix}queued`)) {
      const { target } = await this.get(id);
      const mayGo = target === null || (await this.#redis.get(`${this.#prefix}gate:${target}`)) === id;
      if (mayGo) await this.#admit(id);
    }
    // Redis forgets events by itself, seven days after the end.
    return { ...expired, eventsRemoved: 0 };
  }

  async close(): Promise<void> {
    this.#feeds.close();
    await Promise.all([...this.#workers.values()].map((worker) => worker.close(true)));
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
    this.#redis.disconnect();
  }

  async #tell(job: JobRecord, state: JobState): Promise<void> {
    this.#feeds.poke(job.id);
    const data = { id: job.id, kind: job.kind, target: job.target };
    const event: HubEvent =
      this.#sql === null
        ? { id: randomUUID(), type: `job.${state}`, at: this.#at(), data }
        : await this.#sql.write((tx) => this.#events.record(tx, `job.${state}`, data));
    this.#events.publish(event);
  }

  #at(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}

const lockKey = ({ job, fence }: JobLease): string => `${job.id}:${fence}`;

function toRecord(id: string, fields: Readonly<Record<string, string>>): JobRecord {
  const json = <Value>(name: string): Value | null => {
    const value = fields[name];
    return value === undefined || value === "" ? null : (JSON.parse(value) as Value);
  };
  const textOrNull = (name: string): string | null =>
    fields[name] === undefined || fields[name] === "" ? null : fields[name];
  const until = textOrNull("lease_until");
  return {
    id,
    kind: fields["kind"] as JobKind,
    target: textOrNull("target"),
    payload: json<JsonObject>("payload") ?? {},
    priority: Number(fields["priority"]),
    state: fields["state"] as JobState,
    attempts: Number(fields["attempts"]),
    max_attempts: Number(fields["max_attempts"]),
    run_id: fields["run_id"]!,
    progress: json("progress"),
    checkpoint: json("checkpoint"),
    result: json("result"),
    error: json("error"),
    created_by: json("created_by"),
    created_at: fields["created_at"]!,
    started_at: textOrNull("started_at"),
    finished_at: textOrNull("finished_at"),
    lease_owner: textOrNull("lease_owner"),
    lease_until: until === null ? null : new Date(Number(until)).toISOString(),
    fence: Number(fields["fence"]),
  };
}
