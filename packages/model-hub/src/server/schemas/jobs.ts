import { z } from "zod";
import { JOB_KINDS } from "../../jobs/types.js";
import { Count, component, Instant, JsonObject, NextCursor } from "./common.js";

export const JobState = z.enum(["queued", "running", "cancelling", "succeeded", "failed", "cancelled", "interrupted"]);
export const JobKind = z.enum(JOB_KINDS);

export const Progress = component(
  "Progress",
  z.object({
    phase: z.string(),
    epoch: z.number().nullable(),
    epochs: z.number().nullable(),
    step: z.number().nullable(),
    steps: z.number().nullable(),
    percent: z.number().min(0).max(100).describe("Never decreases"),
    metrics: z.record(z.string(), z.number().nullable()),
    eta_s: z.number().nullable().describe("Seconds left; null before two epochs have ended"),
  }),
);

export const Job = component(
  "Job",
  z.object({
    id: z.string(),
    kind: JobKind,
    target: z.string().nullable(),
    state: JobState,
    payload: JsonObject,
    priority: z.number(),
    attempts: Count,
    max_attempts: Count,
    run_id: z.string(),
    progress: Progress.nullable(),
    result: JsonObject.nullable(),
    error: z.object({ code: z.string(), message: z.string(), details: JsonObject.optional() }).nullable(),
    created_by: z.string().nullable(),
    created_at: Instant,
    started_at: Instant.nullable(),
    finished_at: Instant.nullable(),
    status_url: z.string(),
    events_url: z.string(),
  }),
);

export const JobPage = component("JobPage", z.object({ jobs: z.array(Job), total: Count, next_cursor: NextCursor }));

export const Accepted = component(
  "Accepted",
  z.object({ job_id: z.string(), status_url: z.string(), events_url: z.string() }),
);
