import { AugmentConfigError } from "../errors.js";
import type { Decision, MixParams, MixPlanStep } from "./plan.js";
import type { DistillConfig } from "./spec.js";

export const MIX_TYPES = ["mosaic", "copy_paste", "mixup"] as const;

const DEFAULT_P = { mosaic: 0.5, copy_paste: 0.15, mixup: 0.1 } as const;

/** Mixing steps of a distillation, before and after everything else, with their reasons. */
export function mixingSteps({
  distillation,
  stage,
  flipsVetoed,
}: {
  distillation: boolean | DistillConfig | undefined;
  stage: "teacher" | "distill" | undefined;
  flipsVetoed: boolean;
}): { before: MixPlanStep[]; after: MixPlanStep[]; trace: Decision[]; warnings: string[] } {
  const none = { before: [], after: [], trace: [], warnings: [] };
  if (distillation === undefined || distillation === false) return none;
  if (stage === "teacher") {
    throw new AugmentConfigError({
      path: "distillation",
      message:
        'mixing is for distillation only; a teacher learns from single pictures. Take it out, or set stage: "distill".',
    });
  }
  const config: DistillConfig = distillation === true ? {} : distillation;
  const chosen = (type: (typeof MIX_TYPES)[number]) => config[type] ?? DEFAULT_P[type];
  if (config.masks === "single-map" && chosen("mixup") > 0) {
    throw new AugmentConfigError({
      path: "distillation.mixup",
      message: "two mixed pictures have no single class map. Set mixup: 0, or train on instance masks.",
    });
  }
  const params: MixParams = {
    epochs: config.epochs ?? null,
    closeMosaic: config.closeMosaic ?? 10,
    pastes: config.pastes ?? [1, 5],
    seamSigma: config.seamSigma ?? 0,
    flip: !flipsVetoed && (config.flip ?? true),
    weighted: config.weighted ?? false,
  };
  const steps = MIX_TYPES.filter((type) => chosen(type) > 0).map(
    (type): MixPlanStep => ({ kind: "mix", path: `${type}#0`, type, p: chosen(type), params }),
  );
  const warnings =
    chosen("mosaic") > 0 && config.epochs === undefined
      ? ["distillation.epochs is not set: mosaics never stop, not even in the last epochs."]
      : [];
  return {
    before: steps.filter(({ type }) => type !== "mixup"),
    after: steps.filter(({ type }) => type === "mixup"),
    trace: steps.map(({ type, p }) => ({
      type,
      p,
      params: params as unknown as Decision["params"],
      kind: "added",
      because: [{ source: "distillation", name: type, requestedP: p, requestedParams: {} }],
      text: `${type} at p ${p}: asked for by distillation, whatever the intensity.`,
    })),
    warnings,
  };
}

/** The configuration that gives these steps again. */
export function mixingConfig(steps: readonly MixPlanStep[]): DistillConfig | undefined {
  const [first] = steps;
  if (first === undefined) return undefined;
  const { epochs, closeMosaic, pastes, seamSigma, weighted, flip } = first.params;
  const p = (type: string) => steps.find((step) => step.type === type)?.p ?? 0;
  return {
    mosaic: p("mosaic"),
    copy_paste: p("copy_paste"),
    mixup: p("mixup"),
    ...(epochs === null ? {} : { epochs }),
    closeMosaic,
    pastes: [...pastes] as [number, number],
    seamSigma,
    weighted,
    flip,
  };
}
