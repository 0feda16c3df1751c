import { HubError } from "../errors.js";
import { type HubClock, systemClock } from "../internal/clock.js";
import { analyseTask, domainOfClasses, type TaskAnalysis, type TaskModel } from "./analyse.js";
import { byUser, decide, limitOf } from "./decide.js";
import type { Embedder } from "./embedder.js";
import { type ExplainLevel, explainPlan } from "./explain.js";
import { type Constraints, type Fact, factsOf, type PlanRequest, type Priority } from "./facts.js";
import type { DatasetFingerprint } from "./fingerprint.js";
import { type Adjustment, learnFrom } from "./learn.js";
import type { LearningStore } from "./learning-store.js";
import { makePlan, type Plan } from "./plan.js";
import {
  type AdapterAdvice,
  type AdapterCandidate,
  explainAdapters,
  recommendAdapters,
  type ScoreWeights,
} from "./recommend-adapters.js";
import { type AdvisorRules, defaultRules } from "./rules.js";

/**
 * Who decides. `auto`: the advisor. `assisted`: the advisor proposes, a person confirms, with changes or without. `manual`: the person; the
 * advisor only warns.
 */
export type AdvisorMode = "auto" | "assisted" | "manual";

const EXPIRES_MS = 24 * 3600 * 1000;
/** Plans that are remembered; beyond it the oldest is forgotten. */
const MAX_PLANS = 1000;

/** What {@link Advisor.recommend} is asked. */
export interface AdviceRequest {
  readonly fingerprint: DatasetFingerprint;
  /** Description of the task in words; also names the domain. Without one the names of the classes may. */
  readonly task?: string;
  /** @defaultValue "assisted" */
  readonly mode?: AdvisorMode;
  readonly priority?: Priority;
  readonly constraints?: Constraints;
  readonly precision?: number;
  /** @defaultValue what the task says, else photographic */
  readonly domain?: string;
  /** What the user decides; with `manual` the whole configuration. */
  readonly overrides?: Readonly<Record<string, Fact>>;
  /** Adapters to choose from. @defaultValue none */
  readonly adapters?: readonly AdapterCandidate[];
  readonly created_by?: string | null;
}

/** A plan with everything that led to it. */
export interface AdvisedPlan extends Plan {
  readonly mode: AdvisorMode;
  readonly state: "proposed" | "confirmed";
  /** ISO-8601; null once it is confirmed. */
  readonly expires_at: string | null;
  readonly analysis: TaskAnalysis | null;
  readonly adapters: AdapterAdvice | null;
  /** What finished runs changed. */
  readonly adjustments: readonly Adjustment[];
  readonly created_by: string | null;
}

/** What a run of a plan ended with: `metric` in 0..1 on held-out data. */
export interface PlanOutcome {
  readonly metric: number;
}

/** Options of {@link Advisor}. */
export interface AdvisorOptions {
  readonly rules?: AdvisorRules;
  /** Past runs and feedback; null: every plan is by the rules alone. @defaultValue null */
  readonly learning?: LearningStore | null;
  /** Metric and split that runs are compared by. @defaultValue "mAP50-95, test" */
  readonly metricDefinition?: string;
  readonly llm?: TaskModel | null;
  readonly scoreWeights?: Partial<ScoreWeights>;
  /** How alike a task and an adapter's description are. @defaultValue words and character grams */
  readonly embedder?: Embedder;
  /** Measured seconds of a step of a student at an image size and batch; null: not measured. */
  readonly secondsPerStep?: (plan: Plan) => number | null;
  readonly clock?: HubClock;
}

/** Plans for data sets: analyses the task, decides by rules, corrects by experience, keeps proposals until they are confirmed. */
export class Advisor {
  readonly #options: AdvisorOptions;
  readonly #rules: AdvisorRules;
  readonly #clock: HubClock;
  readonly #metric: string;
  readonly #plans = new Map<string, { plan: AdvisedPlan; request: AdviceRequest; expires: number }>();

  constructor(options: AdvisorOptions = {}) {
    this.#options = options;
    this.#rules = options.rules ?? defaultRules();
    this.#clock = options.clock ?? systemClock;
    this.#metric = options.metricDefinition ?? "mAP50-95, test";
  }

  /**
   * @throws HubError `NO_ANNOTATIONS`, `NO_FEASIBLE_PLAN`, `INVALID_REQUEST` for an output that the rules do not know
   */
  async recommend(request: AdviceRequest): Promise<AdvisedPlan> {
    const { mode = "assisted", task, fingerprint, overrides = {} } = request;
    this.#checkOutputs(overrides);
    const analysis =
      task === undefined
        ? null
        : await analyseTask(task, { classNames: fingerprint.class_names, llm: this.#options.llm ?? null });
    const planRequest: PlanRequest = {
      fingerprint,
      overrides,
      domain: request.domain ?? analysis?.intent.domain ?? domainOfClasses(fingerprint.class_names) ?? "photographic",
      ...(request.priority === undefined ? {} : { priority: request.priority }),
      ...(request.constraints === undefined ? {} : { constraints: request.constraints }),
      ...(request.precision === undefined ? {} : { precision: request.precision }),
    };
    const adjustments = mode === "manual" ? [] : await this.#learn(planRequest);
    const first = this.#plan(planRequest, adjustments);
    const seconds = this.#options.secondsPerStep?.(first) ?? null;
    const plan = seconds === null ? first : this.#plan(planRequest, adjustments, seconds);
    const isProposal = mode === "assisted";
    const expires = this.#clock.now() + EXPIRES_MS;
    const advised: AdvisedPlan = {
      ...plan,
      warnings: [...plan.warnings, ...(mode === "manual" ? this.#manualWarnings(planRequest) : [])],
      mode,
      state: isProposal ? "proposed" : "confirmed",
      expires_at: isProposal ? new Date(expires).toISOString() : null,
      analysis,
      adapters: await this.#adapters(request, plan),
      adjustments,
      created_by: request.created_by ?? null,
    };
    this.#remember(advised, request, expires);
    return advised;
  }

  /**
   * Accepts a proposal, with changes or as it is.
   * @throws HubError `NOT_FOUND`, `GONE` after 24 hours, `INVALID_REQUEST` for an unknown output
   */
  async confirm(planId: string, changes: Readonly<Record<string, Fact>> = {}): Promise<AdvisedPlan> {
    const proposal = this.#plans.get(planId);
    if (proposal === undefined || proposal.plan.state !== "proposed") {
      throw new HubError({
        code: "NOT_FOUND",
        message: `No plan "${planId}" waits for an answer. Ask for a new one.`,
        details: { plan_id: planId },
      });
    }
    if (this.#clock.now() >= proposal.expires) {
      this.#plans.delete(planId);
      throw new HubError({
        code: "GONE",
        message: `The plan "${planId}" was proposed more than 24 hours ago. Ask for a new one.`,
        details: { plan_id: planId },
      });
    }
    this.#checkOutputs(changes);
    const { request, plan } = proposal;
    const changed = Object.keys(changes).length > 0;
    const overrides = { ...request.overrides, ...changes };
    // What follows from a changed choice is decided again; what experience said stays.
    const next = changed ? await this.recommend({ ...request, mode: "auto", overrides }) : plan;
    const confirmed: AdvisedPlan = { ...next, mode: "assisted", state: "confirmed", expires_at: null };
    this.#plans.delete(planId);
    this.#remember(confirmed, { ...request, overrides }, proposal.expires);
    return confirmed;
  }

  /**
   * A plan that was made here.
   * @throws HubError `NOT_FOUND` for an unknown one; the oldest of more than 1,000 are forgotten
   */
  plan(planId: string): AdvisedPlan {
    const known = this.#plans.get(planId);
    if (known !== undefined) return known.plan;
    throw new HubError({
      code: "NOT_FOUND",
      message: `No plan "${planId}" is known. Ask for a new one.`,
      details: { plan_id: planId },
    });
  }

  /** @param plan - of {@link Advisor.recommend} or {@link Advisor.confirm} */
  explain(plan: AdvisedPlan, level: ExplainLevel = "standard"): string {
    const text = explainPlan(plan, level);
    return level === "minimal" || plan.adapters === null ? text : `${text}\n${explainAdapters(plan.adapters)}`;
  }

  /**
   * Carries out a confirmed plan and remembers how it ended: success and failure both teach.
   * @param run - trains and measures on data that was held out
   * @throws HubError `INVALID_STATE` for a proposal; what `run` throws
   */
  async carryOut(
    plan: AdvisedPlan,
    {
      run_id,
      fingerprint,
      run,
    }: { run_id: string; fingerprint: DatasetFingerprint; run: (plan: AdvisedPlan) => Promise<PlanOutcome> },
  ): Promise<PlanOutcome> {
    if (plan.state !== "confirmed") {
      throw new HubError({ code: "INVALID_STATE", message: `The plan "${plan.id}" is a proposal: confirm it first.` });
    }
    const { learning = null } = this.#options;
    const byRules = decide(this.#rules, plan.facts).choices;
    await learning?.begin({
      run_id,
      fingerprint,
      plan: { id: plan.id, choices: byRules },
      used: Object.fromEntries(
        Object.entries(plan.choices).map(([output, value]) => [
          output,
          Array.isArray(value) ? value.join(" ") : (value as Fact),
        ]),
      ),
      adapters: plan.adapters?.recommended.map(({ id }) => id) ?? [],
      created_by: plan.created_by,
    });
    let outcome: PlanOutcome;
    try {
      outcome = await run(plan);
    } catch (error) {
      await learning?.finish(run_id, null);
      throw error;
    }
    await learning?.finish(run_id, { metric: outcome.metric, metric_definition: this.#metric });
    return outcome;
  }

  #remember(plan: AdvisedPlan, request: AdviceRequest, expires: number): void {
    this.#plans.delete(plan.id);
    this.#plans.set(plan.id, { plan, request, expires });
    if (this.#plans.size > MAX_PLANS) this.#plans.delete(this.#plans.keys().next().value!);
  }

  #plan(request: PlanRequest, adjustments: readonly Adjustment[], secondsPerStep: number | null = null): Plan {
    const history = Object.fromEntries(
      adjustments.map(({ output, to, reason }) => [output, { value: to, kind: "history" as const, reason }]),
    );
    return makePlan(request, { rules: this.#rules, history, secondsPerStep });
  }

  async #learn(request: PlanRequest): Promise<Adjustment[]> {
    const { learning = null } = this.#options;
    if (learning === null) return [];
    const { choices } = decide(this.#rules, factsOf(request), byUser(request.overrides ?? {}));
    return learnFrom({
      runs: await learning.runs(this.#metric),
      fingerprint: request.fingerprint,
      choices,
      metric_definition: this.#metric,
      now: this.#clock.now(),
      protect: Object.keys(request.overrides ?? {}),
    });
  }

  async #adapters({ adapters, task = "", fingerprint }: AdviceRequest, plan: Plan): Promise<AdapterAdvice | null> {
    if (adapters === undefined) return null;
    const { learning = null, scoreWeights = {}, embedder } = this.#options;
    const base = plan.choices["detector_teacher"] ?? plan.choices["mask_teacher"];
    return recommendAdapters({
      task,
      classNames: fingerprint.class_names,
      candidates: adapters,
      baseModel: base === null || base === undefined ? null : String(base),
      complexity: plan.complexity.value,
      weights: scoreWeights,
      ...(embedder === undefined ? {} : { embedder }),
      ...(learning === null ? {} : { history: await learning.adapterHistory() }),
    });
  }

  #checkOutputs(overrides: Readonly<Record<string, Fact>>): void {
    const known = Object.keys(this.#rules.outputs);
    const unknown = Object.keys(overrides).find((output) => !known.includes(output));
    if (unknown === undefined) return;
    throw new HubError({
      code: "INVALID_REQUEST",
      message: `The advisor decides no "${unknown}". Known: ${known.join(", ")}.`,
      details: { output: unknown, known },
    });
  }

  /** What the rules would do otherwise, and limits that a configuration exceeds. */
  #manualWarnings(request: PlanRequest): string[] {
    const overrides = request.overrides ?? {};
    const facts = factsOf(request);
    const own = decide(this.#rules, facts, byUser(overrides)).choices;
    const size = { ...facts, image_size: own["image_size"] as Fact };
    return Object.entries(overrides).flatMap(([output, value]) => {
      const beyond = limitOf(String(value), size, this.#rules);
      if (beyond !== null) {
        const { limit, needed, available } = beyond;
        return [
          `${output} ${value} is beyond the ${limit} limit: it needs ${Math.ceil(needed)} of ${Math.floor(available)}.`,
        ];
      }
      const { [output]: _own, ...rest } = overrides;
      const advised = decide(this.#rules, facts, byUser(rest)).trace.find((entry) => entry.output === output)!;
      return String(advised.value) === String(value)
        ? []
        : [`${output} is ${value}; the advisor would take ${advised.value ?? "none"}: ${advised.reason}.`];
    });
  }
}
