import { appendFile, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { HubError } from "../errors.js";
import { type HubClock, systemClock } from "../internal/clock.js";
import { parseOrThrow } from "../registry/parse.js";
import { integer, type SqlDriver, type SqlRow, text, textOrNull } from "../sql/driver.js";
import type { Fact } from "./facts.js";
import type { DatasetFingerprint } from "./fingerprint.js";
import type { LearnedRun } from "./learn.js";
import type { Plan } from "./plan.js";
import type { AdapterHistory } from "./recommend-adapters.js";

const ACTIONS = ["saved", "shared", "regenerated", "exported", "deployed"] as const;
const stars = z.number().int().min(1).max(5).nullable().default(null);
/** Runs that are read to learn from; the newest. */
const MAX_RUNS = 1000;

const feedbackInput = z
  .strictObject({
    run_id: z.string().min(1).max(256),
    created_by: z.string().max(256).nullable().default(null),
    /** Overall. */
    rating: stars,
    /** Of masks. */
    quality: stars,
    /** Of classes. */
    accuracy: stars,
    /** How neat outlines are. */
    aesthetic: stars,
    comment: z.string().max(10_000).nullable().default(null),
    tags: z.array(z.string().min(1).max(64)).max(32).default([]),
    actions: z.array(z.enum(ACTIONS)).max(ACTIONS.length).default([]),
  })
  .refine(
    ({ rating, quality, accuracy, aesthetic, comment, tags, actions }) =>
      [rating, quality, accuracy, aesthetic, comment].some((part) => part !== null) || tags.length + actions.length > 0,
    { message: "says nothing: give a rating, a comment, tags or actions" },
  );

/** What a person says about a run. */
export type FeedbackInput = z.input<typeof feedbackInput>;

/** A saved piece of feedback. */
export type FeedbackRecord = z.output<typeof feedbackInput> & { readonly id: number; readonly at: string };

/** Numbers about all that was said and done. */
export interface FeedbackStatistics {
  readonly runs: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly feedback: number;
  /** Means of 1..5; null where nobody rated. */
  readonly ratings: Readonly<Record<"rating" | "quality" | "accuracy" | "aesthetic", number | null>>;
  /** Mean overall rating by month (`2026-11`). */
  readonly trend: readonly { readonly month: string; readonly count: number; readonly rating: number | null }[];
  readonly top_adapters: readonly (AdapterHistory & { readonly adapter: string })[];
  /** Outputs that people changed most often, and to what they changed them most. */
  readonly most_adjusted: readonly { readonly output: string; readonly count: number; readonly to: Fact }[];
  readonly actions: Readonly<Record<string, number>>;
  readonly tags: Readonly<Record<string, number>>;
}

/** What was recommended, used and said, in the registry's database; feedback also goes to an append-only JSON lines file. */
export class LearningStore {
  readonly #sql: SqlDriver;
  readonly #clock: HubClock;
  readonly #log: string | null;

  /** @param log - JSON lines file; null: none */
  constructor({ sql, log = null, clock = systemClock }: { sql: SqlDriver; log?: string | null; clock?: HubClock }) {
    this.#sql = sql;
    this.#log = log;
    this.#clock = clock;
  }

  /**
   * Remembers that a plan is being carried out.
   * @param used - what the run really uses; outputs that are not named are as recommended
   * @throws HubError `CONFLICT` for a run that is known
   */
  async begin({
    run_id,
    plan,
    fingerprint,
    used = {},
    adapters = [],
    created_by = null,
  }: {
    run_id: string;
    plan: Pick<Plan, "id" | "choices">;
    fingerprint: DatasetFingerprint;
    used?: Readonly<Record<string, Fact>>;
    adapters?: readonly string[];
    created_by?: string | null;
  }): Promise<void> {
    const recommended = plainChoices(plan.choices);
    const all = { ...recommended, ...used };
    await this.#sql.write(async (tx) => {
      if ((await tx.all("SELECT 1 AS known FROM recommendation WHERE run_id = ?", [run_id])).length > 0) {
        throw new HubError({
          code: "CONFLICT",
          message: `The run "${run_id}" is recorded already.`,
          details: { run_id },
        });
      }
      await tx.run(
        `INSERT INTO recommendation (run_id, plan_id, created_by, fingerprint, recommended, used, adapters, state, created_at)
          VALUES (?, ?, ?, ?, ?, ?, ?, 'running', ?)`,
        [run_id, plan.id, created_by, json(fingerprint), json(recommended), json(all), json(adapters), this.#at()],
      );
      for (const [output, value] of Object.entries(all)) {
        if (json(value) === json(recommended[output] ?? null)) continue;
        await tx.run("INSERT INTO param_adjustment (run_id, output, recommended, used) VALUES (?, ?, ?, ?)", [
          run_id,
          output,
          json(recommended[output] ?? null),
          json(value),
        ]);
      }
      for (const adapter of new Set(adapters)) {
        await tx.run("INSERT INTO adapter_stat (adapter, run_id) VALUES (?, ?)", [adapter, run_id]);
      }
    });
  }

  /**
   * @param outcome - `metric` in 0..1 on held-out data and how it is defined (name, split), or null: the run failed
   * @throws HubError `NOT_FOUND`, `INVALID_METRIC`
   */
  async finish(run_id: string, outcome: { metric: number; metric_definition: string } | null): Promise<void> {
    if (outcome !== null && !(outcome.metric >= 0 && outcome.metric <= 1)) {
      throw new HubError({
        code: "INVALID_METRIC",
        message: `A metric to learn from is in 0..1, got ${outcome.metric}.`,
      });
    }
    const changed = await this.#sql.write((tx) =>
      tx.run(
        "UPDATE recommendation SET state = ?, metric = ?, metric_definition = ?, finished_ms = ? WHERE run_id = ?",
        [
          outcome === null ? "failed" : "succeeded",
          outcome === null ? null : String(outcome.metric),
          outcome?.metric_definition ?? null,
          this.#clock.now(),
          run_id,
        ],
      ),
    );
    if (changed === 0) throw unknownRun(run_id);
  }

  /** @throws HubError `NOT_FOUND` for an unknown run, `INVALID_REQUEST` */
  async give(input: FeedbackInput): Promise<FeedbackRecord> {
    const given = parseOrThrow(feedbackInput, input, "The feedback");
    const at = this.#at();
    const id = await this.#sql.write(async (tx) => {
      if ((await tx.all("SELECT 1 AS known FROM recommendation WHERE run_id = ?", [given.run_id])).length === 0) {
        throw unknownRun(given.run_id);
      }
      const [row] = await tx.all(
        `INSERT INTO feedback (run_id, created_by, rating, quality, accuracy, aesthetic, comment, tags, actions, at)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq`,
        [
          given.run_id,
          given.created_by,
          given.rating,
          given.quality,
          given.accuracy,
          given.aesthetic,
          given.comment,
          json(given.tags),
          json(given.actions),
          at,
        ],
      );
      return integer(row!, "seq");
    });
    const record = { ...given, id, at };
    if (this.#log !== null) {
      await mkdir(dirname(this.#log), { recursive: true });
      await appendFile(this.#log, `${json(record)}\n`);
    }
    return record;
  }

  /** Feedback on a run, oldest first. */
  async feedbackOn(run_id: string): Promise<readonly FeedbackRecord[]> {
    return (await this.#sql.all("SELECT * FROM feedback WHERE run_id = ? ORDER BY seq", [run_id])).map(toFeedback);
  }

  /** Finished runs to learn from, newest first. */
  async runs(metric_definition: string): Promise<LearnedRun[]> {
    const rows = await this.#sql.all(
      `SELECT r.*, (SELECT AVG(f.rating) FROM feedback f WHERE f.run_id = r.run_id) AS mean_rating FROM recommendation r
        WHERE r.state <> 'running' AND (r.metric_definition = ? OR r.metric_definition IS NULL)
        ORDER BY r.finished_ms DESC, r.run_id LIMIT ?`,
      [metric_definition, MAX_RUNS],
    );
    return rows.map((row) => ({
      run_id: text(row, "run_id"),
      user: textOrNull(row, "created_by"),
      fingerprint: parse(row, "fingerprint"),
      used: parse(row, "used"),
      metric: row["metric"] === null ? null : Number(row["metric"]),
      // A failed run has no metric, and counts whatever is measured.
      metric_definition,
      rating: row["mean_rating"] === null ? null : Number(row["mean_rating"]),
      finished_at: integer(row, "finished_ms"),
    }));
  }

  /** How often each adapter was used, and how it was liked. */
  async adapterHistory(): Promise<Map<string, AdapterHistory>> {
    const rows = await this.#sql.all(
      `SELECT a.adapter, COUNT(*) AS runs, SUM(CASE WHEN r.state = 'succeeded' THEN 1 ELSE 0 END) AS successes,
        AVG((SELECT AVG(f.rating) FROM feedback f WHERE f.run_id = a.run_id)) AS rating
        FROM adapter_stat a JOIN recommendation r ON r.run_id = a.run_id WHERE r.state <> 'running'
        GROUP BY a.adapter ORDER BY a.adapter`,
    );
    return new Map(
      rows.map((row) => [
        text(row, "adapter"),
        {
          runs: integer(row, "runs"),
          successes: integer(row, "successes"),
          averageRating: row["rating"] === null ? null : Number(row["rating"]),
        },
      ]),
    );
  }

  async statistics(): Promise<FeedbackStatistics> {
    const states = await this.#sql.all("SELECT state, COUNT(*) AS n FROM recommendation GROUP BY state");
    const count = (state: string) => integer(states.find((row) => row["state"] === state) ?? { n: 0 }, "n");
    const all = (await this.#sql.all("SELECT * FROM feedback ORDER BY seq")).map(toFeedback);
    const mean = (list: readonly FeedbackRecord[], part: "rating" | "quality" | "accuracy" | "aesthetic") => {
      const values = list.flatMap((record) => record[part] ?? []);
      return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
    };
    const months = [...new Set(all.map(({ at }) => at.slice(0, 7)))].sort();
    const tally = (lists: readonly (readonly string[])[]) => {
      const counts: Record<string, number> = {};
      for (const word of lists.flat()) counts[word] = (counts[word] ?? 0) + 1;
      return Object.fromEntries(Object.entries(counts).sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)));
    };
    const adapters = [...(await this.adapterHistory())].map(([adapter, history]) => ({ adapter, ...history }));
    const adjusted = await this.#sql.all(
      `SELECT output, used, COUNT(*) AS n FROM param_adjustment GROUP BY output, used ORDER BY output, n DESC, used`,
    );
    const byOutput = new Map<string, { output: string; count: number; to: Fact }>();
    for (const row of adjusted) {
      const output = text(row, "output");
      const known = byOutput.get(output) ?? { output, count: 0, to: parse<Fact>(row, "used") };
      byOutput.set(output, { ...known, count: known.count + integer(row, "n") });
    }
    return {
      runs: states.reduce((sum, row) => sum + integer(row, "n"), 0),
      succeeded: count("succeeded"),
      failed: count("failed"),
      feedback: all.length,
      ratings: {
        rating: mean(all, "rating"),
        quality: mean(all, "quality"),
        accuracy: mean(all, "accuracy"),
        aesthetic: mean(all, "aesthetic"),
      },
      trend: months.map((month) => {
        const then = all.filter(({ at }) => at.startsWith(month));
        return { month, count: then.length, rating: mean(then, "rating") };
      }),
      top_adapters: adapters
        .sort((a, b) => (b.averageRating ?? 0) - (a.averageRating ?? 0) || b.successes - a.successes)
        .slice(0, 10),
      most_adjusted: [...byOutput.values()].sort((a, b) => b.count - a.count || (a.output < b.output ? -1 : 1)),
      actions: tally(all.map(({ actions }) => actions)),
      tags: tally(all.map(({ tags }) => tags)),
    };
  }

  /** Everything that is kept of a user. */
  async exportUser(user: string): Promise<{
    readonly runs: readonly Readonly<Record<string, unknown>>[];
    readonly feedback: readonly FeedbackRecord[];
  }> {
    const runs = await this.#sql.all("SELECT * FROM recommendation WHERE created_by = ? ORDER BY created_at, run_id", [
      user,
    ]);
    const feedback = await this.#sql.all("SELECT * FROM feedback WHERE created_by = ? ORDER BY seq", [user]);
    return {
      runs: runs.map((row) => ({
        ...row,
        fingerprint: parse(row, "fingerprint"),
        recommended: parse(row, "recommended"),
        used: parse(row, "used"),
        adapters: parse(row, "adapters"),
      })),
      feedback: feedback.map(toFeedback),
    };
  }

  /**
   * Removes the runs and the feedback of a user from the database. The log is append-only: what it holds is said to be deleted in a line of its own.
   * @returns how much was removed
   */
  async deleteUser(user: string): Promise<{ readonly runs: number; readonly feedback: number }> {
    const removed = await this.#sql.write(async (tx) => {
      const own = "(SELECT run_id FROM recommendation WHERE created_by = ?)";
      await tx.run(`DELETE FROM param_adjustment WHERE run_id IN ${own}`, [user]);
      await tx.run(`DELETE FROM adapter_stat WHERE run_id IN ${own}`, [user]);
      const feedback = await tx.run(`DELETE FROM feedback WHERE created_by = ? OR run_id IN ${own}`, [user, user]);
      return { runs: await tx.run("DELETE FROM recommendation WHERE created_by = ?", [user]), feedback };
    });
    if (this.#log !== null && removed.feedback > 0) {
      await appendFile(this.#log, `${json({ deleted: user, at: this.#at() })}\n`);
    }
    return removed;
  }

  #at(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}

const json = (value: unknown): string => JSON.stringify(value);
const parse = <Value>(row: SqlRow, column: string): Value => JSON.parse(text(row, column)) as Value;

/** Lists (characteristics) are one text: experience compares values. */
function plainChoices(choices: Plan["choices"]): Record<string, Fact> {
  return Object.fromEntries(
    Object.entries(choices).map(([output, value]) => [
      output,
      Array.isArray(value) ? value.join(" ") : (value as Fact),
    ]),
  );
}

function toFeedback(row: SqlRow): FeedbackRecord {
  const number = (column: string) => (row[column] === null ? null : integer(row, column));
  return {
    id: integer(row, "seq"),
    run_id: text(row, "run_id"),
    created_by: textOrNull(row, "created_by"),
    rating: number("rating"),
    quality: number("quality"),
    accuracy: number("accuracy"),
    aesthetic: number("aesthetic"),
    comment: textOrNull(row, "comment"),
    tags: parse(row, "tags"),
    actions: parse(row, "actions"),
    at: text(row, "at"),
  };
}

function unknownRun(run_id: string): HubError {
  return new HubError({ code: "NOT_FOUND", message: `No run "${run_id}" is recorded.`, details: { run_id } });
}
