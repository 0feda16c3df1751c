import { AugmentConfigError } from "../errors.js";
import { mixingSteps } from "./mixing.js";
import type { Decision, GroupPlanStep, Plan, PlanStep } from "./plan.js";
import { type ExplicitSpec, type OneOfConfig, resolveRules, type TransformConfig } from "./spec.js";
import { resolveParams } from "./transform-registry.js";

/**
 * A plan from listed transforms: no budget, no groups but the written ones, the listed order.
 * @throws AugmentConfigError, UnknownTransformError
 */
export function explicitPlan(spec: ExplicitSpec): Plan {
  const counts = new Map<string, number>();
  const next = (name: string): string => {
    const n = counts.get(name) ?? 0;
    counts.set(name, n + 1);
    return `${name}#${n}`;
  };
  const trace: Decision[] = [];
  const read = (config: TransformConfig, path: string) => {
    const { type, p, enabled, weight, requires, ...params } = config;
    return { type, p, enabled, weight, requires, params: resolveParams(type, params, path) };
  };
  const steps: PlanStep[] = [];
  spec.transforms.forEach((entry, i) => {
    const path = `transforms[${i}]`;
    const record = (type: string, p: number, params: Decision["params"], group?: string) =>
      trace.push({
        type,
        p,
        params,
        ...(group === undefined ? {} : { group }),
        kind: "added",
        because: [{ source: "config", name: path, requestedP: p, requestedParams: params }],
        text: `${type} at p ${p}: listed as ${path}.`,
      });
    if ("oneOf" in entry) {
      const { oneOf, p, group } = entry as OneOfConfig;
      const members = oneOf.flatMap((config, k) => {
        const { type, params, enabled, p: memberP, weight } = read(config as TransformConfig, `${path}.oneOf[${k}]`);
        if (enabled === false) return [];
        const share = memberP ?? weight ?? 1;
        if (typeof share !== "number" || !(share >= 0)) {
          throw new AugmentConfigError({ path: `${path}.oneOf[${k}].weight`, message: "expected a number from 0 on." });
        }
        return share === 0 ? [] : [{ path: next(type), type, weight: share, params }];
      });
      if (members.length === 0) return;
      const name = group ?? "oneOf";
      const step: GroupPlanStep = { kind: "oneOf", path: next(name), group: name, p, members };
      const sum = members.reduce((total, member) => total + member.weight, 0);
      for (const member of members) record(member.type, (p * member.weight) / sum, member.params, name);
      steps.push(step);
      return;
    }
    const { type, p = 1, enabled, requires, params } = read(entry as TransformConfig, path);
    if (enabled === false) return;
    if (requires !== undefined && requires !== "masks") {
      throw new AugmentConfigError({ path: `${path}.requires`, message: 'expected "masks".' });
    }
    steps.push({ kind: "one", path: next(type), type, p, params, ...(requires === undefined ? {} : { requires }) });
    record(type, p, params);
  });
  const mixing = mixingSteps({
    distillation: spec.distillation as boolean | undefined,
    stage: spec.stage,
    flipsVetoed: false,
  });
  return {
    schemaVersion: 1,
    seed: spec.seed ?? 0,
    intensity: "medium",
    characteristics: [],
    environment: {},
    canvas: spec.canvas ?? null,
    fill: spec.fill ?? null,
    border: spec.border ?? "constant",
    instances: resolveRules(spec.instances as object | undefined),
    steps: [...mixing.before, ...steps, ...mixing.after],
    trace: [...mixing.trace, ...trace],
    warnings: mixing.warnings,
    strict: spec.strict ?? true,
  };
}
