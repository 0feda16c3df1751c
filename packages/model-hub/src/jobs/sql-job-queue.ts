import { randomUUID } from "node:crypto";
import { type HubClock, systemClock } from "../internal/clock.js";
import { parseCursor, parseLimit, writeCursor } from "../registry/parse.js";
import type { HubEvent, Json, JsonObject } from "../registry/types.js";
import {
  integer,
  type SqlDriver,
  type SqlReader,
  type SqlRow,
  type SqlTransaction,
  text,
  textOrNull,
} from "../sql/driver.js";
import type { HubEvents } from "../webhooks/hub-events.js";
import { JobFeeds } from "./job-feed.js";
import { EVENTS_KEPT_MS, eventTypeOf, LEASE_MS } from "./job-rules.js";
import { lostWorkers, parseEnqueue, queueFull, staleLease, targetBusy, unknownJob, wrongState } from "./parse-job.js";
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
} from "./types.js";

const OPEN_STATES = "('queued','running','cancelling')";
/** A claim that another one overtook is tried again this often. */
const CLAIM_TRIES = 5;

/** Jobs in the registry's database. Workers on PostgreSQL skip rows that others are taking; on SQLite a claim has the database to itself. */
export class SqlJobQueue implements JobQueue {
  readonly info: JobQueueInfo;
  readonly #sql: SqlDriver;
  readonly #events: HubEvents;
  readonly #clock: HubClock;
  readonly #maxQueued: number;
  readonly #feeds: JobFeeds;

  /**
   * @param maxQueued - more waiting jobs are refused with QUEUE_FULL. @defaultValue 10_000
   * @param pollMs - how often watchers look for what other processes wrote. @defaultValue 250
   */
  constructor({
    sql,
    events,
    clock = systemClock,
    maxQueued = 10_000,
    pollMs = 250,
  }: { sql: SqlDriver; events: HubEvents; clock?: HubClock; maxQueued?: number; pollMs?: number }) {
    this.#sql = sql;
    this.#events = events;
    this.#clock = clock;
    this.#maxQueued = maxQueued;
    this.info = { kind: "sql", location: sql.location };
    this.#feeds = new JobFeeds({ queue: this, clock, pollMs });
  }

  async enqueue(input: EnqueueInput): Promise<JobRecord> {
    const parsed = parseEnqueue(input);
    return this.#change(async (tx, told) => {
      if (parsed.target !== null && parsed.ifActive !== "queue") {
        // Two callers must not both find nothing.
        if (tx.dialect === "postgres") await tx.all("SELECT pg_advisory_xact_lock(hashtext(?))", [parsed.target]);
        const [open] = await tx.all(
          `SELECT * FROM job WHERE target = ? AND state IN ${OPEN_STATES} ORDER BY seq LIMIT 1`,
          [parsed.target],
        );
        if (open !== undefined) {
          if (parsed.ifActive === "join") return toRecord(open);
          throw targetBusy(parsed.target, text(open, "id"));
        }
      }
      const [count] = await tx.all("SELECT COUNT(*) AS n FROM job WHERE state = 'queued'");
      if (integer(count!, "n") >= this.#maxQueued) throw queueFull(this.#maxQueued);
      const id = randomUUID();
      const [row] = await tx.all(
        `INSERT INTO job (id, kind, target, payload, priority, state, attempts, max_attempts, run_id, created_by, created_at,
          queued_order, fence, event_seq) VALUES (?, ?, ?, ?, ?, 'queued', 0, ?, ?, ?, ?, 0, 0, 0) RETURNING *`,
        [
          id,
          parsed.kind,
          parsed.target,
          JSON.stringify(parsed.payload),
          parsed.priority,
          parsed.maxAttempts,
          parsed.run_id ?? id,
          parsed.created_by,
          this.#at(),
        ],
      );
      await tx.run("UPDATE job SET queued_order = seq WHERE id = ?", [id]);
      const record = toRecord(row!);
      await this.#status(tx, told, record, "queued", {});
      return record;
    });
  }

  async get(id: string): Promise<JobRecord> {
    return readJob(this.#sql, id);
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
    const conditions: [string, string | number][] = [];
    if (state !== undefined) conditions.push(["state = ?", state]);
    if (kind !== undefined) conditions.push(["kind = ?", kind]);
    const where = (all: [string, string | number][]) =>
      all.length === 0 ? "" : ` WHERE ${all.map(([condition]) => condition).join(" AND ")}`;
    const values = (all: [string, string | number][]) => all.map(([, value]) => value);
    const paged: [string, string | number][] = before === null ? conditions : [...conditions, ["seq < ?", before]];
    const rows = await this.#sql.all(`SELECT * FROM job${where(paged)} ORDER BY seq DESC LIMIT ?`, [
      ...values(paged),
      size + 1,
    ]);
    const [count] = await this.#sql.all(`SELECT COUNT(*) AS n FROM job${where(conditions)}`, values(conditions));
    const page = rows.slice(0, size);
    return {
      jobs: page.map(toRecord),
      total: integer(count!, "n"),
      next_cursor: rows.length > size ? writeCursor(integer(page.at(-1)!, "seq")) : null,
    };
  }

  async cancel(id: string, { actor = null }: { actor?: string | null } = {}): Promise<JobRecord> {
    return this.#change(async (tx, told) => {
      const job = await readJob(tx, id, tx.forUpdate);
      if (TERMINAL_STATES.has(job.state)) throw wrongState(id, job.state, "cancelled");
      if (job.state === "cancelling") return job;
      const next = job.state === "queued" ? "cancelled" : "cancelling";
      return this.#move(tx, told, job, next, { actor });
    });
  }

  async resume(id: string, { actor = null }: { actor?: string | null } = {}): Promise<JobRecord> {
    return this.#change(async (tx, told) => {
      const job = await readJob(tx, id, tx.forUpdate);
      if (!TERMINAL_STATES.has(job.state) || job.state === "succeeded") throw wrongState(id, job.state, "resumed");
      await tx.run(
        `UPDATE job SET attempts = 0, error = NULL, finished_at = NULL, finished_ms = NULL,
          queued_order = (SELECT MAX(queued_order) + 1 FROM job) WHERE id = ?`,
        [id],
      );
      return this.#move(tx, told, job, "queued", { actor });
    });
  }

  async events(
    id: string,
    { after = 0, limit = 1000 }: { after?: number; limit?: number } = {},
  ): Promise<readonly JobEvent[]> {
    const rows = await this.#sql.all("SELECT * FROM job_event WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?", [
      id,
      after,
      limit,
    ]);
    return rows.map((row) => ({
      seq: integer(row, "seq"),
      job_id: text(row, "job_id"),
      type: text(row, "type") as JobEventType,
      data: JSON.parse(text(row, "data")) as JsonObject,
      at: text(row, "at"),
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
    if (kinds.length === 0) return null;
    for (let tries = 1; ; tries++) {
      try {
        return await this.#claimOnce(owner, kinds, leaseMs);
      } catch (error) {
        // Two workers took two jobs of one target at the same instant; the index lets one through, the other one looks again.
        const isOvertaken = (error as { code?: unknown }).code === "23505";
        if (!isOvertaken || tries >= CLAIM_TRIES) throw error;
      }
    }
  }

  async #claimOnce(owner: string, kinds: readonly JobKind[], leaseMs: number): Promise<JobLease | null> {
    // Looked for without a transaction first: an idle worker must not lock a database that others write to.
    const open = await this.#sql.all(
      `SELECT 1 AS found FROM job WHERE state = 'queued' OR (state IN ('running','cancelling') AND lease_until_ms < ?) LIMIT 1`,
      [this.#clock.now()],
    );
    if (open.length === 0) return null;
    return this.#change(async (tx, told) => {
      await this.#expire(tx, told);
      // Of each target only its next job: while another worker takes that one, a later one must not overtake it.
      const among = kinds.map(() => "?").join(", ");
      const [row] = await tx.all(
        `SELECT j.* FROM job j WHERE j.state = 'queued' AND j.kind IN (${among})
          AND (j.target IS NULL OR (
            NOT EXISTS (SELECT 1 FROM job r WHERE r.target = j.target AND r.state IN ('running','cancelling'))
            AND j.seq = (SELECT q.seq FROM job q WHERE q.target = j.target AND q.state = 'queued' AND q.kind IN (${among})
              ORDER BY q.priority DESC, q.queued_order, q.seq LIMIT 1)))
          ORDER BY j.priority DESC, j.queued_order, j.seq LIMIT 1${tx.forUpdateSkipLocked}`,
        [...kinds, ...kinds],
      );
      if (row === undefined) return null;
      const queued = toRecord(row);
      await tx.run(
        `UPDATE job SET attempts = attempts + 1, fence = fence + 1, lease_owner = ?, lease_until_ms = ?,
          started_at = COALESCE(started_at, ?) WHERE id = ?`,
        [owner, this.#clock.now() + leaseMs, this.#at(), queued.id],
      );
      const job = await this.#move(tx, told, queued, "running", { owner, attempt: queued.attempts + 1 });
      return { job, owner, fence: job.fence };
    });
  }

  async heartbeat(
    lease: JobLease,
    { leaseMs = LEASE_MS }: { leaseMs?: number } = {},
  ): Promise<{ cancelRequested: boolean }> {
    return this.#held(lease, async (tx, job) => {
      await tx.run("UPDATE job SET lease_until_ms = ? WHERE id = ?", [this.#clock.now() + leaseMs, job.id]);
      return { cancelRequested: job.state === "cancelling" };
    });
  }

  async update(
    lease: JobLease,
    { progress, checkpoint }: { progress?: JobProgress; checkpoint?: JsonObject },
  ): Promise<void> {
    await this.#held(lease, async (tx, job) => {
      if (checkpoint !== undefined) {
        await tx.run("UPDATE job SET checkpoint = ? WHERE id = ?", [JSON.stringify(checkpoint), job.id]);
      }
      if (progress === undefined) return;
      // A resumed run starts behind where the lost one was; what people see never goes back.
      const shown = { ...progress, percent: Math.max(progress.percent, job.progress?.percent ?? 0) };
      await tx.run("UPDATE job SET progress = ? WHERE id = ?", [JSON.stringify(shown), job.id]);
      await this.#append(tx, job.id, "progress", shown as unknown as JsonObject);
    });
  }

  async emit(lease: JobLease, { type, data }: { type: "log"; data: JsonObject }): Promise<void> {
    await this.#held(lease, (tx, job) => this.#append(tx, job.id, type, data));
  }

  async finish(lease: JobLease, outcome: JobOutcome): Promise<JobRecord> {
    return this.#held(lease, async (tx, job, told) => {
      switch (outcome.state) {
        case "succeeded":
          await tx.run("UPDATE job SET result = ? WHERE id = ?", [JSON.stringify(outcome.result), job.id]);
          return this.#move(tx, told, job, "succeeded", { result: outcome.result });
        case "cancelled":
          return this.#move(tx, told, job, "cancelled", {});
        case "failed": {
          // Who asked for the end gets it, whatever the attempt ran into.
          if (job.state === "cancelling") return this.#move(tx, told, job, "cancelled", {});
          const error = outcome.error as unknown as Json;
          if (outcome.retry === true && job.attempts < job.max_attempts) {
            return this.#move(tx, told, job, "queued", { reason: "retry", error });
          }
          await tx.run("UPDATE job SET error = ? WHERE id = ?", [JSON.stringify(error), job.id]);
          return this.#move(tx, told, job, "failed", { error });
        }
        case "interrupted":
          if (job.state === "cancelling") return this.#move(tx, told, job, "cancelled", {});
          if (outcome.requeue !== true) return this.#move(tx, told, job, "interrupted", {});
          // The job is not to blame that its worker was asked to stop.
          await tx.run("UPDATE job SET attempts = attempts - 1 WHERE id = ?", [job.id]);
          return this.#move(tx, told, job, "queued", { reason: "worker stopped" });
      }
    });
  }

  async maintain(): Promise<{ readonly requeued: number; readonly failed: number; readonly eventsRemoved: number }> {
    return this.#change(async (tx, told) => {
      const expired = await this.#expire(tx, told);
      const eventsRemoved = await tx.run(
        "DELETE FROM job_event WHERE job_id IN (SELECT id FROM job WHERE finished_ms IS NOT NULL AND finished_ms < ?)",
        [this.#clock.now() - EVENTS_KEPT_MS],
      );
      return { ...expired, eventsRemoved };
    });
  }

  async close(): Promise<void> {
    this.#feeds.close();
  }

  async #expire(tx: SqlTransaction, told: Told): Promise<{ requeued: number; failed: number }> {
    let requeued = 0;
    let failed = 0;
    const rows = await tx.all(
      `SELECT * FROM job WHERE state IN ('running','cancelling') AND lease_until_ms < ?${tx.forUpdateSkipLocked}`,
      [this.#clock.now()],
    );
    for (const job of rows.map(toRecord)) {
      if (job.state === "cancelling") await this.#move(tx, told, job, "cancelled", { reason: "lease expired" });
      else if (job.attempts < job.max_attempts) {
        await this.#move(tx, told, job, "queued", { reason: "lease expired" });
        requeued++;
      } else {
        const error = lostWorkers(job.attempts);
        await tx.run("UPDATE job SET error = ? WHERE id = ?", [JSON.stringify(error), job.id]);
        await this.#move(tx, told, job, "failed", { error });
        failed++;
      }
    }
    return { requeued, failed };
  }

  /** Runs `work` when the lease still holds the job, its row locked. */
  #held<Result>(
    { job: { id }, fence, owner }: JobLease,
    work: (tx: SqlTransaction, job: JobRecord, told: Told) => Promise<Result>,
  ): Promise<Result> {
    return this.#change(async (tx, told) => {
      const job = await readJob(tx, id, tx.forUpdate);
      const isHeld =
        job.fence === fence && job.lease_owner === owner && (job.state === "running" || job.state === "cancelling");
      if (!isHeld) throw staleLease(id, fence);
      told.pokes.add(id);
      return work(tx, job, told);
    });
  }

  /** Changes the state, says so in the job's events and to subscribers. */
  async #move(tx: SqlTransaction, told: Told, job: JobRecord, state: JobState, data: JsonObject): Promise<JobRecord> {
    const isTerminal = TERMINAL_STATES.has(state);
    if (state !== "running" && state !== "cancelling") {
      await tx.run("UPDATE job SET lease_owner = NULL, lease_until_ms = NULL WHERE id = ?", [job.id]);
    }
    await tx.run("UPDATE job SET state = ?, finished_at = ?, finished_ms = ? WHERE id = ?", [
      state,
      isTerminal ? this.#at() : null,
      isTerminal ? this.#clock.now() : null,
      job.id,
    ]);
    await this.#status(tx, told, job, state, data);
    return readJob(tx, job.id);
  }

  async #status(tx: SqlTransaction, told: Told, job: JobRecord, state: JobState, data: JsonObject): Promise<void> {
    await this.#append(tx, job.id, eventTypeOf(state), { state, ...data });
    told.pokes.add(job.id);
    told.events.push(await this.#events.record(tx, `job.${state}`, { id: job.id, kind: job.kind, target: job.target }));
  }

  async #append(tx: SqlTransaction, id: string, type: JobEventType, data: JsonObject): Promise<void> {
    const [row] = await tx.all("UPDATE job SET event_seq = event_seq + 1 WHERE id = ? RETURNING event_seq", [id]);
    await tx.run("INSERT INTO job_event (job_id, seq, type, data, at) VALUES (?, ?, ?, ?, ?)", [
      id,
      integer(row!, "event_seq"),
      type,
      JSON.stringify(data),
      this.#at(),
    ]);
  }

  async #change<Result>(work: (tx: SqlTransaction, told: Told) => Promise<Result>): Promise<Result> {
    let told: Told = { events: [], pokes: new Set() };
    const result = await this.#sql.write((tx) => {
      // Anew for each try of the transaction.
      told = { events: [], pokes: new Set() };
      return work(tx, told);
    });
    for (const id of told.pokes) this.#feeds.poke(id);
    for (const event of told.events) this.#events.publish(event);
    return result;
  }

  #at(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}

/** What is told after the commit. */
interface Told {
  readonly events: HubEvent[];
  readonly pokes: Set<string>;
}

async function readJob(reader: SqlReader, id: string, lock = ""): Promise<JobRecord> {
  const [row] = await reader.all(`SELECT * FROM job WHERE id = ?${lock}`, [id]);
  if (row === undefined) throw unknownJob(id);
  return toRecord(row);
}

function toRecord(row: SqlRow): JobRecord {
  const json = <Value>(column: string): Value | null => {
    const value = textOrNull(row, column);
    return value === null ? null : (JSON.parse(value) as Value);
  };
  return {
    id: text(row, "id"),
    kind: text(row, "kind") as JobKind,
    target: textOrNull(row, "target"),
    payload: json<JsonObject>("payload") ?? {},
    priority: integer(row, "priority"),
    state: text(row, "state") as JobState,
    attempts: integer(row, "attempts"),
    max_attempts: integer(row, "max_attempts"),
    run_id: text(row, "run_id"),
    progress: json("progress"),
    checkpoint: json("checkpoint"),
    result: json("result"),
    error: json("error"),
    created_by: textOrNull(row, "created_by"),
    created_at: text(row, "created_at"),
    started_at: textOrNull(row, "started_at"),
    finished_at: textOrNull(row, "finished_at"),
    lease_owner: textOrNull(row, "lease_owner"),
    lease_until: row["lease_until_ms"] === null ? null : new Date(integer(row, "lease_until_ms")).toISOString(),
    fence: integer(row, "fence"),
  };
}
