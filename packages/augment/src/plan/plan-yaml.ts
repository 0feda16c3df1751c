import { parse, stringify, YAMLParseError } from "yaml";
import { AugmentConfigError } from "../errors.js";
import { explicitPlan } from "./explicit.js";
import { mixingConfig } from "./mixing.js";
import type { MixPlanStep, Plan } from "./plan.js";
import type { Profile } from "./profile.js";
import { parseExplicit, parseSpec } from "./spec.js";
import { translate } from "./translate.js";

const SCHEMA_VERSION = 1;

/**
 * The plan of a parsed file: derived from `characteristics`, or listed in `transforms`.
 * @throws AugmentConfigError on an unknown key, a wrong version or a value out of its range; UnknownTransformError and so on
 */
export function planFromConfig(input: unknown, profile: Profile): Plan {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    throw new AugmentConfigError({
      path: "",
      message: "a pipeline file is a mapping with schemaVersion and characteristics or transforms.",
    });
  }
  const { schemaVersion, ...rest } = input as Record<string, unknown>;
  if (schemaVersion !== SCHEMA_VERSION) {
    throw new AugmentConfigError({
      path: "schemaVersion",
      message:
        schemaVersion === undefined
          ? `it is required; write schemaVersion: ${SCHEMA_VERSION}.`
          : `this version reads ${SCHEMA_VERSION}, got ${JSON.stringify(schemaVersion)}. ${Number(schemaVersion) > SCHEMA_VERSION ? "Update @seg/augment." : `Write schemaVersion: ${SCHEMA_VERSION}.`}`,
    });
  }
  if ("transforms" in rest) return explicitPlan(parseExplicit(rest));
  if (!("characteristics" in rest)) {
    throw new AugmentConfigError({
      path: "characteristics",
      message: "give characteristics (a list, may be empty) or transforms.",
    });
  }
  return translate(parseSpec(rest), profile);
}

/** @throws AugmentConfigError also for text that is no YAML */
export function planFromYaml(text: string, profile: Profile): Plan {
  let parsed: unknown;
  try {
    parsed = parse(text);
  } catch (cause) {
    if (!(cause instanceof YAMLParseError)) throw cause;
    throw new AugmentConfigError({ path: "", message: `not valid YAML: ${cause.message.split("\n")[0]}`, cause });
  }
  return planFromConfig(parsed, profile);
}

/** The resolved plan as a file that gives the same plan again: listed transforms with every parameter. */
export function planToYaml(plan: Plan): string {
  const mixing = mixingConfig(plan.steps.filter((step): step is MixPlanStep => step.kind === "mix"));
  const transforms = plan.steps.flatMap((step): Record<string, unknown>[] => {
    if (step.kind === "mix") return [];
    if (step.kind === "one") {
      return [
        {
          type: step.type,
          p: step.p,
          ...(step.requires === undefined ? {} : { requires: step.requires }),
          ...step.params,
        },
      ];
    }
    return [
      {
        oneOf: step.members.map(({ type, weight, params }) => ({ type, weight, ...params })),
        p: step.p,
        group: step.group,
      },
    ];
  });
  return stringify(
    {
      schemaVersion: SCHEMA_VERSION,
      seed: plan.seed,
      ...(plan.canvas === null ? {} : { canvas: plan.canvas }),
      ...(plan.fill === null ? {} : { fill: plan.fill }),
      border: plan.border,
      strict: plan.strict,
      instances: plan.instances,
      ...(mixing === undefined ? {} : { stage: "distill", distillation: mixing }),
      transforms,
    },
    { flowCollectionPadding: false, lineWidth: 120 },
  );
}
