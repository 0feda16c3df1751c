import { loadDataset } from "@seg/coco-dataset";
import { parseAdapterCandidates } from "../../advisor/adapter-candidates.js";
import { type DatasetFingerprint, fingerprintDataset } from "../../advisor/fingerprint.js";
import { insightsOf } from "../../advisor/insights.js";
import { HubError } from "../../errors.js";
import { readMemory } from "../../pool/memory.js";
import { absent } from "../absent.js";
import type { AppDeps } from "../deps.js";
import { given } from "../given.js";
import { ok, type Route, route } from "../route.js";
import {
  ConfirmBody,
  ExplainBody,
  Explanation,
  Feedback,
  FeedbackBody,
  FeedbackStatistics,
  Fingerprint,
  FingerprintBody,
  ForgottenFeedback,
  Insights,
  OwnFeedback,
  Plan,
  RecommendBody,
} from "../schemas/advisor.js";
import { camelCase } from "../snake-case.js";

/** Plans for stored data sets, and what people say about the runs. */
export function advisorRoutes({
  advisor,
  learning,
  datasets,
}: Pick<AppDeps, "advisor" | "learning" | "datasets">): Route[] {
  const needAdvisor = () => {
    if (advisor === undefined) throw absent("an advisor");
    return advisor;
  };
  const needLearning = () => {
    if (learning === undefined) throw absent("a store of feedback");
    return learning;
  };
  const fingerprintOf = async (name: string, signal: AbortSignal): Promise<DatasetFingerprint> => {
    const { annotations, images } = await datasets.open(name);
    if (annotations === null) {
      throw new HubError({
        code: "NO_ANNOTATIONS",
        message: `The data set "${name}" is a table: the advisor reads COCO annotations. Upload a .json or .zip.`,
      });
    }
    return fingerprintDataset(await loadDataset(annotations), { imagesDir: images, signal });
  };
  return [
    route({
      method: "post",
      path: "/advisor/fingerprint",
      id: "fingerprintDataset",
      tag: "Advisor",
      summary: "Facts about a stored data set that decide how to train on it",
      access: "user",
      body: FingerprintBody,
      answers: { 200: { description: "The fingerprint", schema: Fingerprint } },
      errors: ["NOT_FOUND", "NO_ANNOTATIONS"],
      async handle({ body: { dataset_name }, request, noteTarget }) {
        noteTarget(dataset_name);
        return ok(await fingerprintOf(dataset_name, request.signal));
      },
    }),
    route({
      method: "post",
      path: "/advisor/recommend",
      id: "recommendPlan",
      tag: "Advisor",
      summary: "A plan for a stored data set; in mode assisted it waits 24 hours to be confirmed",
      access: "user",
      body: RecommendBody,
      answers: { 200: { description: "The plan", schema: Plan } },
      errors: ["NOT_FOUND", "NO_ANNOTATIONS", "NO_FEASIBLE_PLAN", "INVALID_STATE"],
      async handle({ body, request, principal, noteTarget }) {
        const { dataset_name, constraints = {}, adapters, ...rest } = body;
        noteTarget(dataset_name);
        const plan = await needAdvisor().recommend({
          ...given(rest),
          fingerprint: await fingerprintOf(dataset_name, request.signal),
          created_by: principal.name,
          ...(adapters === undefined ? {} : { adapters: parseAdapterCandidates(camelCase(adapters)) }),
          constraints: given({
            device: constraints.device,
            // Training runs on this machine unless somebody says otherwise.
            freeBytes: constraints.free_bytes ?? (await readMemory()).availableBytes,
            maxLatencyMs: constraints.max_latency_ms,
            gflopsPerSecond: constraints.gflops_per_second,
            maxModelBytes: constraints.max_model_bytes,
            permissiveOnly: constraints.permissive_only,
          }),
        });
        return ok(plan);
      },
    }),
    route({
      method: "post",
      path: "/advisor/confirm",
      id: "confirmPlan",
      tag: "Advisor",
      summary: "Accept a proposed plan, with changes or as it is",
      access: "user",
      body: ConfirmBody,
      answers: { 200: { description: "The confirmed plan", schema: Plan } },
      errors: ["NOT_FOUND", "GONE", "NO_FEASIBLE_PLAN", "INVALID_STATE"],
      async handle({ body: { plan_id, changes = {} }, noteTarget }) {
        noteTarget(plan_id);
        return ok(await needAdvisor().confirm(plan_id, changes));
      },
    }),
    route({
      method: "post",
      path: "/advisor/explain",
      id: "explainPlan",
      tag: "Advisor",
      summary: "A plan in words",
      access: "user",
      body: ExplainBody,
      answers: { 200: { description: "Plain text, lines of about 100 columns", schema: Explanation } },
      errors: ["NOT_FOUND", "INVALID_STATE"],
      async handle({ body: { plan_id, level = "standard" } }) {
        const text = needAdvisor().explain(needAdvisor().plan(plan_id), level);
        return ok({ plan_id, level, text });
      },
    }),
    route({
      method: "post",
      path: "/feedback",
      id: "giveFeedback",
      tag: "Advisor",
      summary: "Rate a run, comment on it, say what was done with its result",
      access: "user",
      body: FeedbackBody,
      answers: { 201: { description: "Kept", schema: Feedback } },
      errors: ["NOT_FOUND", "INVALID_STATE"],
      async handle({ body, principal, noteTarget }) {
        noteTarget(body.run_id);
        const record = await needLearning().give({ ...given(body), run_id: body.run_id, created_by: principal.name });
        return { status: 201, json: record };
      },
    }),
    route({
      method: "get",
      path: "/feedback/stats",
      id: "feedbackStatistics",
      tag: "Advisor",
      summary: "Counts, means, trends, adapters that did well, parameters that people change",
      access: "user",
      answers: { 200: { description: "The numbers", schema: FeedbackStatistics } },
      errors: ["INVALID_STATE"],
      async handle() {
        const { top_adapters, ...statistics } = await needLearning().statistics();
        const adapters = top_adapters.map(({ averageRating, ...rest }) => ({ ...rest, average_rating: averageRating }));
        return ok({ ...statistics, top_adapters: adapters });
      },
    }),
    route({
      method: "get",
      path: "/feedback/mine",
      id: "exportFeedback",
      tag: "Advisor",
      summary: "Everything that is kept of the caller: runs and feedback",
      access: "user",
      answers: { 200: { description: "Runs and feedback, oldest first", schema: OwnFeedback } },
      errors: ["INVALID_STATE"],
      async handle({ principal }) {
        return ok(await needLearning().exportUser(principal.name));
      },
    }),
    route({
      method: "delete",
      path: "/feedback/mine",
      id: "deleteFeedback",
      tag: "Advisor",
      summary: "Forget the caller: their runs with all feedback on them, and what they said of others",
      access: "user",
      answers: { 200: { description: "How much was removed", schema: ForgottenFeedback } },
      errors: ["INVALID_STATE"],
      async handle({ principal, noteTarget }) {
        noteTarget(principal.name);
        return ok(await needLearning().deleteUser(principal.name));
      },
    }),
    route({
      method: "get",
      path: "/insights",
      id: "insights",
      tag: "Advisor",
      summary: "What the runs and the feedback say, in sentences",
      access: "user",
      answers: { 200: { description: "Sentences, most important first", schema: Insights } },
      errors: ["INVALID_STATE"],
      async handle() {
        return ok({ insights: insightsOf(await needLearning().statistics()) });
      },
    }),
  ];
}
