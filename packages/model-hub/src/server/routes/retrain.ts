import { z } from "zod";
import type { SweepRequest } from "../../training/sweep-service.js";
import type { RetrainRequest } from "../../training/types.js";
import { absent } from "../absent.js";
import type { AppDeps, ServerLimits } from "../deps.js";
import { given } from "../given.js";
import { parsePrefer } from "../prefer.js";
import { ok, type Route, route } from "../route.js";
import { Flag, ModelQuery } from "../schemas/common.js";
import { RetrainBody, RetrainPreview, RetrainResult, SweepBody, Trainers } from "../schemas/retrain.js";
import { accepted, acceptedAnswer } from "./jobs.js";

export function retrainRoutes({
  retrain,
  sweeps,
  limits,
}: Pick<AppDeps, "retrain" | "sweeps"> & { limits: ServerLimits }): Route[] {
  return [
    route({
      method: "post",
      path: "/sweeps",
      id: "startSweep",
      tag: "Retraining",
      summary: "Train variations of seed, parameters or adapter, and rank them",
      description:
        "A job that starts a retraining per trial. Its result ranks the trials with the versions that they registered; the active version stays.",
      access: "admin",
      body: SweepBody,
      answers: { 202: acceptedAnswer },
      errors: ["INVALID_REQUEST", "NOT_FOUND", "DATASET_TOO_SMALL", "QUEUE_FULL", "INVALID_STATE"],
      async handle({ body: { retrain: base, ...sweep }, principal, noteTarget }) {
        if (sweeps === undefined) {
          throw absent("sweeps");
        }
        const request = given({ ...base, dataset_name: base.dataset_name ?? undefined }) as RetrainRequest;
        const { job_id } = await sweeps.start(request, given(sweep) as SweepRequest, { actor: principal.name });
        noteTarget(job_id);
        return accepted(job_id);
      },
    }),
    route({
      method: "post",
      path: "/model/retrain",
      id: "retrain",
      tag: "Retraining",
      summary: "Train a new version",
      description:
        "Holds the answer until the run ends, at most `maxWaitS`; then, or at once with `Prefer: respond-async`, 202 names the job. `Prefer: wait=N` shortens the hold. A client that goes away cancels nothing. `?dry_run=true` answers with the resolved configuration and an estimate and starts nothing.",
      access: "admin",
      query: ModelQuery.extend({ dry_run: Flag.optional() }),
      body: RetrainBody,
      isBodyOptional: true,
      headers: { prefer: "respond-async, wait=N" },
      answers: {
        200: {
          description: "The new version, or the preview of a dry run",
          schema: z.union([RetrainResult, RetrainPreview]),
        },
        202: acceptedAnswer,
      },
      errors: ["INVALID_REQUEST", "NOT_FOUND", "DATASET_TOO_SMALL", "CONFLICT", "QUEUE_FULL"],
      async handle({ query, body: { dataset_name, ...body }, request, principal, noteTarget }) {
        const asked = given({ ...query, ...body, dataset_name: dataset_name ?? undefined }) as Record<string, unknown>;
        delete asked["dry_run"];
        const config = asked as RetrainRequest;
        if (query.dry_run === true) return ok(await retrain.preview(config));
        const { job_id } = await retrain.start(config, { actor: principal.name });
        noteTarget(job_id);
        const { respondAsync, waitS } = parsePrefer(request.headers.get("prefer"));
        if (respondAsync) return accepted(job_id, { "preference-applied": "respond-async" });
        const maxWaitMs = 1000 * Math.min(waitS ?? limits.maxWaitS, limits.maxWaitS);
        // The signal ends the waiting only; the job is the queue's.
        const result = await retrain.result(job_id, { maxWaitMs, signal: request.signal });
        return result === null ? accepted(job_id) : ok(result);
      },
    }),
    route({
      method: "get",
      path: "/model/trainers",
      id: "listTrainers",
      tag: "Retraining",
      summary: "What can be trained here, with defaults",
      access: "user",
      answers: { 200: { description: "Trainers; the first is the default", schema: Trainers } },
      async handle() {
        return ok({
          trainers: retrain.trainers().map(({ id, description, datasetSchema, defaults, maxHiddenSize = 4096 }) => ({
            id,
            description,
            dataset_schema: datasetSchema === "coco" ? "coco" : datasetSchema.id,
            max_hidden_size: maxHiddenSize,
            defaults,
          })),
        });
      },
    }),
  ];
}
