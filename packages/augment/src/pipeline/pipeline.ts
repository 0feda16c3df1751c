import { compactNumbers, expandNumbers } from "../core/compact-numbers.js";
import { hashOf } from "../core/hash.js";
import { AsyncBackendError, AugmentConfigError, ReplayMismatchError } from "../errors.js";
import { type Backend, chooseKernels } from "../kernels/choose-kernels.js";
import type { Kernels } from "../kernels/kernels.js";
import { noPixels } from "../kernels/no-pixels.js";
import { scopedKernels } from "../kernels/scoped-kernels.js";
import { fnv1a32 } from "../philox.js";
import { type Decision, type Plan, type PlanEntry, planEntries } from "../plan/plan.js";
import { planToYaml } from "../plan/plan-yaml.js";
import { findTransform } from "../plan/transform-registry.js";
import { checkBorder, finishAnnotations } from "./finish.js";
import { driveAsync, driveSync, type Run, Runner } from "./run.js";
import { type SanityReport, sanityCheck } from "./sanity-check.js";
import type {
  DonorSource,
  PipelineImage,
  PipelineOutline,
  PipelineResult,
  PipelineSample,
  PipelineWarning,
  ReplayRecord,
  SampleKey,
  SampleOutline,
} from "./types.js";

/** Rotation beyond which box-only labels grow visibly, degrees. */
const LARGE_ROTATION = 15;

/** What a plan holds and why. */
export interface PipelineInfo {
  /** Number of distinct transforms, mixing included; equals `types.length`. */
  readonly total: number;
  /** Their names in execution order. */
  readonly types: string[];
  readonly entries: PlanEntry[];
  readonly trace: Decision[];
  readonly warnings: readonly string[];
}

/** How a pipeline computes; results are the same for every choice. */
export interface PipelineOptions {
  /** `auto` takes WASM SIMD where the engine has it. @defaultValue "auto" */
  readonly backend?: Backend;
}

/** A resolved augmentation pipeline. Deterministic: results depend on the plan, the seed and the key, on nothing else. */
export interface Pipeline {
  (sample: PipelineSample, key?: SampleKey): Promise<PipelineResult>;
  /**
   * Without waiting.
   * @throws AsyncBackendError when a step is configured for an asynchronous backend, or donors come asynchronously
   */
  applySync(sample: PipelineSample, key?: SampleKey): PipelineResult;
  /**
   * Runs exactly the recorded steps, with the recorded parameters.
   * @throws ReplayMismatchError when the record was made by another plan
   */
  replay(record: ReplayRecord, sample: PipelineSample, options?: { donors?: DonorSource }): Promise<PipelineResult>;
  /**
   * The result without its pixels: the same draws, annotations, sources and replay record as a call with this key gives, in a fraction of
   * the time. Pixels of sample and donors are not looked at.
   */
  outline(sample: SampleOutline, key?: SampleKey): Promise<PipelineOutline>;
  info(): PipelineInfo;
  /** The resolved plan; {@link loadPipeline} gives the same pipeline again. */
  toYAML(): string;
  /** Renders up to 16 samples and judges whether the plan is too strong for them. */
  sanityCheck(samples: readonly PipelineSample[]): SanityReport;
  readonly plan: Plan;
  /** Of everything that decides results, the seed apart. */
  readonly planHash: string;
  readonly backend: ReplayRecord["backend"];
}

export function pipelineInfo(plan: Plan): PipelineInfo {
  const entries = planEntries(plan);
  const types = [...new Set(entries.map(({ type }) => type))];
  return { total: types.length, types, entries, trace: [...plan.trace], warnings: plan.warnings };
}

/** Two streams of one hash would draw the same numbers. */
function checkPaths(plan: Plan): void {
  const paths = plan.steps.flatMap((step) => [
    step.path,
    ...(step.kind === "oneOf" ? step.members.map(({ path }) => path) : []),
    ...(step.kind === "mix" ? [`${step.path}/donor`, `${step.path}/instances`] : []),
  ]);
  const seen = new Map<number, string>();
  for (const path of paths) {
    const hash = fnv1a32(path);
    const other = seen.get(hash);
    if (other !== undefined) {
      throw new AugmentConfigError({
        path,
        message: `"${path}" and "${other}" name the same random stream. Rename the custom transform or group.`,
      });
    }
    seen.set(hash, path);
  }
}

function planHash({ steps, canvas, fill, border, instances, strict }: Plan): string {
  return hashOf({ steps, canvas, fill, border, instances, strict });
}

/** A pipeline that carries out a plan. */
export function createPipeline(plan: Plan, { backend: wanted = "auto" }: PipelineOptions = {}): Pipeline {
  checkPaths(plan);
  const kernels = chooseKernels(wanted);
  const backend: ReplayRecord["backend"] = kernels.name === "wasm" ? "wasm" : "typescript";
  const hash = planHash(plan);
  let calls = 0;
  const asynchronous = planEntries(plan).find(({ params }) => (params as { backend?: unknown }).backend === "sharp");
  const turns = planEntries(plan).some(
    ({ type, params }) =>
      type === "SafeRotate" && (params as { limit: [number, number] }).limit.some((v) => Math.abs(v) > LARGE_ROTATION),
  );

  function* start(
    sample: PipelineSample,
    at: { seed: number; epoch: number; index: number; donors: DonorSource | null },
    record: ReplayRecord | null,
    used: Kernels = kernels,
  ): Run<PipelineResult> {
    const repeated = checkBorder(plan.border, sample);
    if (repeated !== null) {
      throw new AugmentConfigError({
        path: "border",
        message: `"${plan.border}" would repeat objects without labels, and the sample has ${repeated}. Use "constant" or "replicate".`,
      });
    }
    const scope = scopedKernels(used);
    try {
      const runner = new Runner({
        plan,
        kernels: scope.kernels,
        ...at,
        forced:
          record === null ? null : new Map(record.applied.map(({ path, params }) => [path, expandNumbers(params)])),
      });
      const state = yield* runner.run(sample);
      const { width, height, channels } = state.image;
      const image: PipelineImage = { data: scope.kernels.detach(state.image), width, height, channels };
      const warnings: PipelineWarning[] = [...state.input.warnings];
      if (turns && sample.bboxes !== undefined && sample.bboxes.length > 0 && sample.masks === undefined) {
        warnings.push({
          code: "rotation-without-masks",
          message: `SafeRotate beyond ${LARGE_ROTATION} degrees makes boxes without masks too large. Add masks, lower the limit, or use instances.boxMethod: ellipse for round objects.`,
        });
      }
      const { area, kept, dropped, ...targets } = finishAnnotations({
        sample,
        records: state.records,
        points: state.points,
        dropped: state.input.dropped,
        rules: plan.instances,
        canvas: state.canvas,
        isMixed: state.isMixed,
        hasWeights: state.hasWeights,
      });
      return {
        image,
        ...targets,
        area,
        kept,
        dropped,
        warnings,
        trace: state.trace,
        replay: {
          v: 1,
          planHash: hash,
          seed: at.seed,
          epoch: at.epoch,
          index: at.index,
          backend,
          applied: compactNumbers(state.applied),
        },
        sources: state.sources,
      };
    } finally {
      scope.dispose();
    }
  }

  const keyOf = (key: SampleKey) => {
    const { epoch = 0, index = calls++ } = key;
    for (const [name, value] of Object.entries({ epoch, index })) {
      if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
        throw new AugmentConfigError({
          path: `key.${name}`,
          message: `expected a whole number in [0, 2^32), got ${value}.`,
        });
      }
    }
    return { seed: plan.seed, epoch, index, donors: key.donors ?? null };
  };

  const pipeline = async (sample: PipelineSample, key: SampleKey = {}): Promise<PipelineResult> =>
    driveAsync(start(sample, keyOf(key), null));
  const applySync = (sample: PipelineSample, key: SampleKey = {}): PipelineResult => {
    if (asynchronous !== undefined) {
      throw new AsyncBackendError({
        path: asynchronous.path,
        message: `${asynchronous.path} is configured for sharp, which is asynchronous. Use backend: kernels, or await the pipeline.`,
      });
    }
    return driveSync(start(sample, keyOf(key), null));
  };
  return Object.assign(pipeline, {
    applySync,
    replay: async (record: ReplayRecord, sample: PipelineSample, options: { donors?: DonorSource } = {}) => {
      if (record.planHash !== hash) throw new ReplayMismatchError({ expected: hash, actual: record.planHash });
      for (const { type, path } of record.applied) if (!isMix(type)) findTransform(type, path);
      const { seed, epoch, index } = record;
      return driveAsync(start(sample, { seed, epoch, index, donors: options.donors ?? null }, record));
    },
    outline: async (sample: SampleOutline, key: SampleKey = {}) => {
      const { image: _, ...outline } = await driveAsync(start(withoutPixels(sample), keyOf(key), null, noPixels));
      return outline;
    },
    info: () => pipelineInfo(plan),
    toYAML: () => planToYaml(plan),
    sanityCheck: (samples: readonly PipelineSample[]) => sanityCheck(samples, plan, applySync),
    plan,
    planHash: hash,
    backend,
  });
}

const NO_PIXELS = new Uint8Array(0);

/** A sample in the pipeline's form whose pixels nobody may look at. */
export const withoutPixels = ({ image: { width, height, channels }, ...sample }: SampleOutline): PipelineSample => ({
  ...sample,
  image: { width, height, channels, data: NO_PIXELS },
});

const isMix = (type: string): boolean => type === "mosaic" || type === "copy_paste" || type === "mixup";
