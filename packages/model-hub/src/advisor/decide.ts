import { HubError } from "../errors.js";
import { exportBytes, gflopsAt, secondsPerImage, teacherBytes, trainingBytes } from "./estimates.js";
import type { Fact, Facts } from "./facts.js";
import type { AdvisorRule, AdvisorRules, Condition } from "./rules.js";

/** A limit that a model exceeds. */
export interface Exceeded {
  readonly model: string;
  readonly limit: "memory" | "latency" | "size";
  /** Bytes or milliseconds. */
  readonly needed: number;
  readonly available: number;
}

/** A value that is not left to the rules. */
export interface Decided {
  readonly value: Fact;
  /** `history`: finished runs say so. It gives way to limits; what the user decided does not. */
  readonly kind: "user" | "history";
  readonly reason: string;
}

/** How one output came about. */
export interface TraceEntry {
  readonly output: string;
  /** `user` or `history` for what no rule decided. */
  readonly rule_id: string;
  readonly kind: AdvisorRule["kind"] | Decided["kind"];
  /** Facts that were compared or computed with. */
  readonly inputs: Facts;
  /** What they were compared with. */
  readonly thresholds: Readonly<Record<string, Condition>>;
  readonly value: Fact | readonly Fact[];
  readonly reason: string;
  /** Other values that rules of this output can give. */
  readonly alternatives: readonly Fact[];
  /** Models that were preferred and exceed a limit. */
  readonly exceeded: readonly Exceeded[];
}

/** Outputs by name, and how each came about. */
export interface Decision {
  readonly choices: Readonly<Record<string, Fact | readonly Fact[]>>;
  readonly trace: readonly TraceEntry[];
}

/**
 * Decides every output of the rules in order. What the user decided stands; models beyond a limit are never chosen.
 * @throws HubError `NO_FEASIBLE_PLAN` naming the limit, `INVALID_REQUEST` for a rule that names an unknown fact
 */
export function decide(rules: AdvisorRules, known: Facts, given: Readonly<Record<string, Decided>> = {}): Decision {
  const facts: Record<string, Fact> = { ...known };
  const choices: Record<string, Fact | readonly Fact[]> = {};
  const trace: TraceEntry[] = [];
  for (const [output, list] of Object.entries(rules.outputs)) {
    const own = given[output];
    const isBeyond = own?.kind === "history" && limitOf(String(own.value), facts, rules) !== null;
    const entry =
      own !== undefined && !isBeyond
        ? notByRule(output, own)
        : rules.collect.includes(output)
          ? collectAll(output, list, facts)
          : firstThatHolds({ output, list, facts, rules });
    trace.push(entry);
    choices[output] = entry.value;
    facts[output] = Array.isArray(entry.value) ? entry.value.join(" ") : (entry.value as Fact);
  }
  return { choices, trace };
}

/** What the user decides, as {@link decide} takes it. */
export const byUser = (overrides: Readonly<Record<string, Fact>>): Record<string, Decided> =>
  Object.fromEntries(
    Object.entries(overrides).map(([output, value]) => [output, { value, kind: "user", reason: "you decided it" }]),
  );

const notByRule = (output: string, { value, kind, reason }: Decided): TraceEntry => ({
  output,
  rule_id: kind,
  kind,
  inputs: {},
  thresholds: {},
  value,
  reason,
  alternatives: [],
  exceeded: [],
});

function collectAll(output: string, list: readonly AdvisorRule[], facts: Facts): TraceEntry {
  const found = list.filter((rule) => holds(rule, facts));
  return {
    output,
    rule_id: found.map(({ id }) => id).join(" "),
    kind: "empirical",
    inputs: inputsOf(list, facts),
    thresholds: Object.assign({}, ...list.map(({ when }) => when)),
    value: found.map(({ value }) => value ?? null),
    reason: found.length === 0 ? "nothing stands out" : found.map(({ reason }) => reason).join("; "),
    alternatives: list.filter((rule) => !found.includes(rule)).map(({ value }) => value ?? null),
    exceeded: [],
  };
}

function firstThatHolds({
  output,
  list,
  facts,
  rules,
}: {
  output: string;
  list: readonly AdvisorRule[];
  facts: Facts;
  rules: AdvisorRules;
}): TraceEntry {
  const rule = list.find((candidate) => holds(candidate, facts));
  if (rule === undefined) throw wrongRule(output, "no rule holds: the last one needs no condition");
  const passed = list.slice(0, list.indexOf(rule) + 1);
  const { value, exceeded } = resultOf({ output, rule, facts, rules });
  const others = list.flatMap((other) => other.prefer ?? (other.value === undefined ? [] : [other.value]));
  return {
    output,
    rule_id: rule.id,
    kind: rule.kind,
    inputs: { ...inputsOf(passed, facts), ...formulaInputs(rule, facts) },
    thresholds: rule.when,
    value,
    reason: rule.reason,
    alternatives: [...new Set(others)].filter((other) => other !== value),
    exceeded,
  };
}

function resultOf({
  output,
  rule,
  facts,
  rules,
}: {
  output: string;
  rule: AdvisorRule;
  facts: Facts;
  rules: AdvisorRules;
}): { value: Fact; exceeded: Exceeded[] } {
  if (rule.value !== undefined) return { value: rule.value, exceeded: [] };
  if (rule.formula !== undefined) return { value: compute({ output, rule, facts, rules }), exceeded: [] };
  const exceeded: Exceeded[] = [];
  for (const name of rule.prefer!) {
    const problem = limitOf(name, facts, rules);
    if (problem === null) return { value: name, exceeded };
    exceeded.push(problem);
  }
  const { model, limit, needed, available } = exceeded.at(-1)!;
  const unit = limit === "latency" ? "ms" : "bytes";
  throw new HubError({
    code: "NO_FEASIBLE_PLAN",
    message: `Nothing for ${output.replaceAll("_", " ")} is within the ${limit} limit: the smallest candidate, ${model}, needs ${Math.ceil(needed)} ${unit} of ${Math.floor(available)}. Raise the limit, or decide "${output}" yourself.`,
    details: { output, exceeded },
  });
}

/** The first limit that a model exceeds; null if none, and for what is no model. */
export function limitOf(name: string, facts: Facts, rules: AdvisorRules): Exceeded | null {
  const model = rules.models[name];
  if (model === undefined) return null;
  const size = Number(facts["image_size"] ?? 640);
  const memory = facts["free_bytes"];
  if (typeof memory === "number") {
    const share = memory * rules.limits.memory_share.value;
    const needed = model.role === "student" ? trainingBytes(model, 1, size) : teacherBytes(model, rules);
    const available = model.role === "student" ? share : memory;
    if (needed !== null && needed > available) return { model: name, limit: "memory", needed, available };
  }
  if (model.role !== "student") return null;
  const [latency, throughput] = [facts["max_latency_ms"], facts["gflops_per_second"]];
  const gflops = gflopsAt(model, size);
  if (typeof latency === "number" && typeof throughput === "number" && gflops !== null) {
    const needed = (1000 * gflops) / throughput;
    if (needed > latency) return { model: name, limit: "latency", needed, available: latency };
  }
  const bytes = facts["max_model_bytes"];
  if (typeof bytes === "number") {
    const needed = exportBytes(model, "int8");
    if (needed > bytes) return { model: name, limit: "size", needed, available: bytes };
  }
  return null;
}

function compute({
  output,
  rule,
  facts,
  rules,
}: {
  output: string;
  rule: AdvisorRule;
  facts: Facts;
  rules: AdvisorRules;
}): number {
  const formula = rule.formula!;
  const number = (name: string | number): number => {
    const value = typeof name === "number" ? name : facts[name];
    if (typeof value === "number") return value;
    throw wrongRule(rule.id, `"${name}" is ${value === undefined ? "no fact" : `${value}, not a number`}`);
  };
  switch (formula.op) {
    case "product":
      return formula.of.map(number).reduce((product, factor) => product * factor, 1);
    case "power":
      return number(formula.of) * (number(formula.by) / formula.at) ** formula.exponent;
    case "linear":
      return Math.round(formula.at_0 + (formula.at_1 - formula.at_0) * number(formula.of));
    case "range":
      return decimals(formula.at_0 + (formula.at_1 - formula.at_0) * number(formula.of));
    case "difference":
      return within(decimals(number(formula.of) - formula.less), formula);
    case "pixels_over":
      return pixelsOver(formula, number(formula.of), formula);
    case "pixels_in_time": {
      const lowest = pixelsOver(formula, number(formula.of), formula);
      let size = pixelsOver(formula, number(formula.of), { min: formula.usual_min, max: formula.max });
      const fitting = () => epochsInTime({ model: formula.model, size, share: formula.share, facts, rules });
      while (size - formula.multiple >= lowest && fitting() < formula.epochs) size -= formula.multiple;
      return size;
    }
    case "epochs_in_time": {
      const wanted = Math.round(formula.times * number(formula.of));
      const [model, size] = [String(facts["student"]), Number(facts["image_size"])];
      const fitting = epochsInTime({ model, size, share: formula.share, facts, rules });
      return Math.min(wanted, Math.max(formula.min, fitting));
    }
    case "batch_by_memory":
      return batchByMemory({ output, formula, facts, rules });
  }
}

interface Bounds {
  readonly min?: number | undefined;
  readonly max?: number | undefined;
}

const within = (value: number, { min = -Infinity, max = Infinity }: Bounds): number =>
  Math.min(max, Math.max(min, value));

/** The multiple at or above pixels / value, within bounds; the upper one for a value of 0. */
function pixelsOver(
  { pixels, multiple }: { readonly pixels: number; readonly multiple: number },
  value: number,
  bounds: Bounds,
): number {
  const wanted = value > 0 ? pixels / value : Infinity;
  return within(Math.ceil(within(wanted, bounds) / multiple) * multiple, bounds);
}

/** Whole epochs of a model that fit into a share of the time budget; Infinity where there is no budget or nobody measured the model. */
function epochsInTime({
  model,
  size,
  share,
  facts,
  rules,
}: {
  model: string;
  size: number;
  share: number;
  facts: Facts;
  rules: AdvisorRules;
}): number {
  const known = rules.models[model];
  const measured = facts["seconds_per_gflop"];
  const seconds = known === undefined ? null : secondsPerImage(known, size, { measured, rules });
  const budget = facts["time_budget_s"];
  if (typeof budget !== "number" || seconds === null) return Infinity;
  return Math.floor((share * budget) / (Number(facts["images"]) * seconds));
}

/** Thresholds are read by people: 0.25, not 0.24999999999999997. */
const decimals = (value: number): number => Number(value.toFixed(6));

function batchByMemory({
  formula,
  facts,
  rules,
}: {
  output: string;
  formula: Extract<NonNullable<AdvisorRule["formula"]>, { op: "batch_by_memory" }>;
  facts: Facts;
  rules: AdvisorRules;
}): number {
  const student = rules.models[String(facts["student"])];
  const size = Number(facts["image_size"]);
  const memory = facts["free_bytes"];
  const limit = Math.min(
    facts["device"] === "cpu" ? formula.max_cpu : formula.max,
    Math.max(Math.min(formula.min, Number(facts["images"])), formula.data_share * Number(facts["images"])),
  );
  let batch = 1;
  while (batch * 2 <= limit) {
    const bytes = student === undefined ? null : trainingBytes(student, batch * 2, size);
    if (bytes !== null && typeof memory === "number" && bytes > memory * rules.limits.memory_share.value) break;
    batch *= 2;
  }
  return batch;
}

function holds({ id, when }: AdvisorRule, facts: Facts): boolean {
  return Object.entries(when).every(([name, { below, at_least, is, one_of }]) => {
    const value = facts[name];
    if (value === undefined) throw wrongRule(id, `"${name}" is no fact`);
    if (below !== undefined && !(typeof value === "number" && value < below)) return false;
    if (at_least !== undefined && !(typeof value === "number" && value >= at_least)) return false;
    if (is !== undefined && value !== is) return false;
    return one_of === undefined || one_of.includes(value);
  });
}

function inputsOf(list: readonly AdvisorRule[], facts: Facts): Facts {
  const names = new Set(list.flatMap(({ when }) => Object.keys(when)));
  return Object.fromEntries([...names].map((name) => [name, facts[name]!]));
}

function formulaInputs({ formula }: AdvisorRule, facts: Facts): Facts {
  if (formula === undefined) return {};
  const names =
    formula.op === "batch_by_memory"
      ? ["student", "image_size", "images", "device", "free_bytes"]
      : formula.op === "epochs_in_time"
        ? [formula.of, "student", "image_size", "images", "time_budget_s", "seconds_per_gflop"]
        : formula.op === "pixels_in_time"
          ? [formula.of, "images", "time_budget_s", "seconds_per_gflop"]
          : formula.op === "power"
            ? [formula.of, formula.by]
            : [formula.of].flat();
  return Object.fromEntries(
    names.flatMap((name) => (typeof name === "string" ? [[name, facts[name] ?? null] as const] : [])),
  );
}

function wrongRule(id: string, problem: string): HubError {
  return new HubError({ code: "INVALID_REQUEST", message: `The rule "${id}" cannot be applied: ${problem}.` });
}
