import { z } from "zod";
import { HubError } from "../errors.js";
import { parseOrThrow } from "../registry/parse.js";
import type { Json } from "../registry/types.js";
import { type EnqueueInput, JOB_KINDS, type JobState } from "./types.js";

const enqueueInput = z.strictObject({
  kind: z.enum(JOB_KINDS),
  payload: z.record(z.string(), z.unknown()).default({}),
  target: z.string().min(1).max(256).nullable().default(null),
  ifActive: z.enum(["queue", "refuse", "join"]).default("queue"),
  priority: z.number().int().min(-1000).max(1000).default(0),
  maxAttempts: z.number().int().min(1).max(100).default(3),
  created_by: z.string().max(256).nullable().default(null),
  run_id: z.string().min(1).max(256).optional(),
});
export type ParsedEnqueue = z.infer<typeof enqueueInput> & { payload: { readonly [key: string]: Json } };

/** @throws {@link HubError} INVALID_REQUEST */
export const parseEnqueue = (input: EnqueueInput): ParsedEnqueue =>
  parseOrThrow(enqueueInput, input, "The job") as ParsedEnqueue;

export const unknownJob = (id: string): HubError =>
  new HubError({ code: "NOT_FOUND", message: `There is no job ${JSON.stringify(id)}.`, details: { id } });

/** The lease went to another worker, or the job was ended by someone else: whoever gets this stops working on it. */
export const staleLease = (id: string, fence: number): HubError =>
  new HubError({
    code: "STALE",
    message: `Job ${id} is no longer held by lease ${fence}: the lease ran out and another worker has it, or the job has ended.`,
    details: { id, fence },
  });

export const wrongState = (id: string, state: JobState, wanted: string): HubError =>
  new HubError({
    code: "INVALID_STATE",
    message: `Job ${id} is ${state} and cannot be ${wanted}.`,
    details: { id, state },
  });

export const targetBusy = (target: string, id: string): HubError =>
  new HubError({
    code: "CONFLICT",
    message: `Job ${id} for ${target} has not ended. Wait for it or cancel it.`,
    details: { target, job_id: id },
  });

export const queueFull = (limit: number): HubError =>
  new HubError({
    code: "QUEUE_FULL",
    message: `${limit} jobs are waiting, which is the limit. Try again when some have ended.`,
    details: { limit },
  });

/** How a job ends whose workers were lost too often. */
export const lostWorkers = (attempts: number) => ({
  code: "INTERNAL",
  message: `The job's worker was lost ${attempts} times. Look at the worker's log, then resume the job.`,
});
