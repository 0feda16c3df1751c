import { z } from "zod";
import { HubError } from "../../errors.js";
import type { JobEvent, JobRecord } from "../../jobs/types.js";
import type { AppDeps } from "../deps.js";
import { given } from "../given.js";
import { type Answer, ok, type Route, route } from "../route.js";
import { PageQuery } from "../schemas/common.js";
import { Accepted, Job, JobKind, JobPage, JobState } from "../schemas/jobs.js";
import { eventStream, lastEventId, type ServerEvent } from "../sse.js";

export const jobUrls = (id: string): { status_url: string; events_url: string } => ({
  status_url: `/jobs/${encodeURIComponent(id)}`,
  events_url: `/jobs/${encodeURIComponent(id)}/events`,
});

/** A job as clients see it: without the checkpoint, the lease and the fence, which are the workers' business. */
export function jobView({ checkpoint: _, lease_owner: __, lease_until: ___, fence: ____, ...job }: JobRecord): unknown {
  return { ...job, ...jobUrls(job.id) };
}

/** 202 with where to look. */
export const accepted = (id: string, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status: 202,
  json: { job_id: id, ...jobUrls(id) },
  headers: { location: jobUrls(id).status_url, ...headers },
});

export const acceptedAnswer = { description: "The job runs on its own", schema: Accepted } as const;

async function* serverEvents(events: AsyncIterable<JobEvent>): AsyncGenerator<ServerEvent> {
  for await (const { seq, type, data } of events) yield { id: seq, event: type, data };
}

const params = z.strictObject({ id: z.string().regex(/^[A-Za-z0-9._:-]{1,128}$/, "name a job") });

export function jobRoutes({ jobs, heartbeatMs }: Pick<AppDeps, "jobs" | "heartbeatMs">): Route[] {
  return [
    route({
      method: "get",
      path: "/jobs",
      id: "listJobs",
      tag: "Jobs",
      summary: "Jobs, newest first",
      access: "user",
      query: z.strictObject({ ...PageQuery, state: JobState.optional(), kind: JobKind.optional() }),
      answers: { 200: { description: "A page of jobs", schema: JobPage } },
      async handle({ query }) {
        const page = await jobs.list(given(query));
        return ok({ ...page, jobs: page.jobs.map(jobView) });
      },
    }),
    route({
      method: "get",
      path: "/jobs/{id}",
      id: "getJob",
      tag: "Jobs",
      summary: "One job",
      access: "user",
      params,
      answers: { 200: { description: "The job", schema: Job } },
      errors: ["NOT_FOUND"],
      async handle({ params: { id } }) {
        return ok(jobView(await jobs.get(id)));
      },
    }),
    route({
      method: "get",
      path: "/jobs/{id}/events",
      id: "watchJob",
      tag: "Jobs",
      summary: "Progress as server-sent events",
      description:
        "`id` is the event's number, `event` one of progress, log, status, done and error, `data` JSON. `Last-Event-ID` replays what followed that event. The stream ends after the terminal event; going away changes nothing for the job.",
      access: "user",
      params,
      headers: { "last-event-id": "Number of the last event received" },
      answers: { 200: { description: "Events", contentType: "text/event-stream" } },
      errors: ["NOT_FOUND", "INVALID_REQUEST"],
      async handle({ params: { id }, request }) {
        const after = lastEventId(request.headers.get("last-event-id"));
        if (after === null) {
          throw new HubError({
            code: "INVALID_REQUEST",
            message: "Last-Event-ID is a whole number, the id of an event.",
          });
        }
        // Before the stream begins, so that an unknown job is a 404 and no empty stream.
        await jobs.get(id);
        const gone = new AbortController();
        const events = serverEvents(jobs.watch(id, { after, signal: gone.signal }));
        return eventStream({ events, onClose: () => gone.abort(), ...given({ heartbeatMs }) });
      },
    }),
    route({
      method: "post",
      path: "/jobs/{id}/cancel",
      id: "cancelJob",
      tag: "Jobs",
      summary: "Stop a job; a running one saves a checkpoint first",
      access: "admin",
      params,
      answers: { 200: { description: "The job, `cancelling` or `cancelled`", schema: Job } },
      errors: ["NOT_FOUND", "INVALID_STATE"],
      async handle({ params: { id }, principal, noteTarget }) {
        noteTarget(id);
        return ok(jobView(await jobs.cancel(id, { actor: principal.name })));
      },
    }),
    route({
      method: "post",
      path: "/jobs/{id}/resume",
      id: "resumeJob",
      tag: "Jobs",
      summary: "Go on with a cancelled, failed or interrupted job from its checkpoint",
      access: "admin",
      params,
      answers: { 200: { description: "The job, queued", schema: Job } },
      errors: ["NOT_FOUND", "INVALID_STATE"],
      async handle({ params: { id }, principal, noteTarget }) {
        noteTarget(id);
        return ok(jobView(await jobs.resume(id, { actor: principal.name })));
      },
    }),
  ];
}
