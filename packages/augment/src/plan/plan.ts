import type { FillColor } from "../core/schemas.js";
import type { Border } from "../kernels/kernels.js";
import type { InstanceRules } from "../pipeline/types.js";
import type { Intensity } from "./profile.js";

export type Params = Readonly<Record<string, unknown>>;

/** One transform with its own gate. */
export interface SinglePlanStep {
  readonly kind: "one";
  /** Name of the random stream: `Type#occurrence`. */
  readonly path: string;
  readonly type: string;
  readonly p: number;
  readonly params: Params;
  /** Skipped for samples without them. */
  readonly requires?: "masks";
}

/** Transforms of which at most one runs. */
export interface GroupPlanStep {
  readonly kind: "oneOf";
  readonly path: string;
  readonly group: string;
  readonly p: number;
  readonly members: readonly {
    readonly path: string;
    readonly type: string;
    /** Share among the members is weight / sum of weights. */
    readonly weight: number;
    readonly params: Params;
  }[];
}

/** Mixing with other samples. */
export interface MixPlanStep {
  readonly kind: "mix";
  readonly path: string;
  readonly type: "mosaic" | "copy_paste" | "mixup";
  readonly p: number;
  readonly params: MixParams;
}

export interface MixParams {
  /** Mosaics stop in the last min(closeMosaic, ceil(0.1 * epochs)) epochs; null: never. */
  readonly epochs: number | null;
  readonly closeMosaic: number;
  /** Instances that one copy_paste tries to paste. */
  readonly pastes: readonly [number, number];
  /** Standard deviation of the blend along a pasted outline, pixels; 0 is a hard edge. */
  readonly seamSigma: number;
  /** May a pasted instance be mirrored? */
  readonly flip: boolean;
  /** Weights r and 1 - r of mixed-up instances (for distillation of logits); else 1. */
  readonly weighted: boolean;
}

/** One step of a resolved pipeline: a transform, a group of which one is chosen, or a mix of several images. */
export type PlanStep = SinglePlanStep | GroupPlanStep | MixPlanStep;

/** Who asked for a transform. */
export interface Because {
  readonly source: "base" | "environment" | "characteristic" | "fact" | "override" | "config" | "distillation";
  readonly name: string;
  readonly requestedP: number | null;
  readonly requestedParams: Params;
}

/** Why a transform is in the plan, or not. */
export interface Decision {
  readonly type: string;
  /** 0 where it was removed. For a member of a group: the probability that it runs. */
  readonly p: number;
  readonly params: Params;
  readonly group?: string;
  readonly kind: "added" | "merged" | "capped" | "vetoed" | "budget" | "skipped";
  readonly because: readonly Because[];
  readonly text: string;
}

/** One transform of the plan as `getPipelineInfo` lists it. */
export interface PlanEntry {
  readonly type: string;
  readonly path: string;
  /** Probability that it runs. */
  readonly p: number;
  readonly params: Params;
  readonly group?: string;
}

/** A resolved pipeline: pure JSON. */
export interface Plan {
  readonly schemaVersion: 1;
  readonly seed: number;
  readonly intensity: Intensity;
  readonly characteristics: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Null: the size of the input. */
  readonly canvas: { readonly width: number; readonly height: number } | null;
  /** Null: 0, and 114 around mosaics. */
  readonly fill: FillColor | null;
  readonly border: Border;
  readonly instances: InstanceRules;
  readonly steps: readonly PlanStep[];
  readonly trace: readonly Decision[];
  readonly warnings: readonly string[];
  readonly strict: boolean;
}

/** The transforms of a plan in execution order. */
export function planEntries(plan: Plan): PlanEntry[] {
  return plan.steps.flatMap((step): PlanEntry[] => {
    if (step.kind !== "oneOf") {
      return [{ type: step.type, path: step.path, p: step.p, params: step.params as unknown as Params }];
    }
    const sum = step.members.reduce((total, { weight }) => total + weight, 0);
    return step.members.map(({ type, path, weight, params }) => ({
      type,
      path,
      p: (step.p * weight) / sum,
      params,
      group: step.group,
    }));
  });
}
