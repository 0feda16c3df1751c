import { HubError } from "../errors.js";
import { type Decided, type Decision, decide, type TraceEntry } from "./decide.js";
import { teacherBytes } from "./estimates.js";
import type { Fact, Facts } from "./facts.js";
import type { AdvisorRules } from "./rules.js";

/** What would change a choice. */
export interface Counterfactual {
  readonly output: string;
  readonly from: TraceEntry["value"];
  readonly to: TraceEntry["value"];
  readonly fact: string;
  readonly now: Fact;
  /** The nearest value of the fact, of those tried, at which the choice is another one. */
  readonly movedTo: Fact;
}

/** Facts about data and wishes; others follow from them, or describe the machine. */
const CHOICES: Readonly<Record<string, readonly Fact[]>> = {
  priority: ["quality", "balanced", "speed", "memory"],
  domain: ["photographic", "synthetic", "medical"],
};

/**
 * Single facts whose change flips a choice, found by deciding again with the fact moved across each threshold that the rules
 * compare it with, and across the memory of each model. For every output and fact the nearest flip.
 */
export function counterfactuals(
  rules: AdvisorRules,
  facts: Facts,
  given: Readonly<Record<string, Decided>> = {},
): Counterfactual[] {
  const base = decide(rules, facts, given);
  const nearest = new Map<string, Counterfactual>();
  for (const [fact, values] of candidates(rules, facts)) {
    const now = facts[fact]!;
    for (const movedTo of values) {
      if (movedTo === now) continue;
      const moved = tryDecide(rules, { ...facts, [fact]: movedTo }, given);
      if (moved === null) continue;
      for (const [at, { output, value }] of base.trace.entries()) {
        const to = moved.trace[at]!.value;
        if (String(to) === String(value)) continue;
        const key = `${output} ${fact}`;
        const found = { output, from: value, to, fact, now, movedTo };
        const known = nearest.get(key);
        if (known === undefined || distance(found) < distance(known)) nearest.set(key, found);
      }
    }
  }
  return [...nearest.values()].map((found) => sharpen(found, rules, facts, given));
}

/** Moves a whole number as near to what it is as the other choice still stands (thresholds of formulas are in no rule). */
function sharpen(
  found: Counterfactual,
  rules: AdvisorRules,
  facts: Facts,
  given: Readonly<Record<string, Decided>>,
): Counterfactual {
  const { output, to, fact, now, movedTo } = found;
  if (!(Number.isInteger(now) && Number.isInteger(movedTo))) return found;
  let [near, far] = [now as number, movedTo as number];
  while (Math.abs(far - near) > 1) {
    const middle = Math.trunc((near + far) / 2);
    const value = tryDecide(rules, { ...facts, [fact]: middle }, given)?.choices[output];
    if (String(value) === String(to)) far = middle;
    else near = middle;
  }
  return { ...found, movedTo: far };
}

const distance = ({ now, movedTo }: Counterfactual): number =>
  typeof now === "number" && typeof movedTo === "number" ? Math.abs(movedTo - now) : 0;

/** A plan that is not feasible is no alternative. */
function tryDecide(rules: AdvisorRules, facts: Facts, given: Readonly<Record<string, Decided>>): Decision | null {
  try {
    return decide(rules, facts, given);
  } catch (error) {
    if (HubError.isInstance(error)) return null;
    throw error;
  }
}

/** Values on both sides of every threshold, by fact. */
function candidates(rules: AdvisorRules, facts: Facts): Map<string, Set<Fact>> {
  const result = new Map<string, Set<Fact>>();
  const add = (fact: string, ...values: Fact[]) => {
    // Outputs are decided, not given.
    if (!Object.hasOwn(facts, fact)) return;
    const known = result.get(fact) ?? new Set();
    for (const value of values) known.add(value);
    result.set(fact, known);
  };
  for (const list of Object.values(rules.outputs)) {
    for (const { when } of list) {
      for (const [fact, { below, at_least, is, one_of }] of Object.entries(when)) {
        for (const threshold of [below, at_least])
          if (threshold !== undefined) add(fact, threshold, justBelow(threshold));
        if (typeof is === "boolean") add(fact, true, false);
        if ((is !== undefined && typeof is !== "boolean") || one_of !== undefined) {
          add(fact, ...(CHOICES[fact] ?? one_of ?? [is!]));
        }
      }
    }
  }
  if (typeof facts["free_bytes"] === "number") {
    for (const model of Object.values(rules.models)) {
      if (model.role === "student") continue;
      const needed = Math.ceil(teacherBytes(model, rules));
      add("free_bytes", needed, needed - 1);
    }
  }
  return result;
}

/** The largest whole number below, or a little less for shares. */
const justBelow = (threshold: number): number => (threshold >= 1 ? Math.ceil(threshold) - 1 : threshold * (1 - 1e-6));
