import {
  createPipeline,
  type Pipeline,
  type PipelineInfo,
  type PipelineOptions,
  pipelineInfo,
} from "./pipeline/pipeline.js";
import { defaultProfile } from "./plan/default-profile.js";
import type { Plan } from "./plan/plan.js";
import { planFromConfig, planFromYaml } from "./plan/plan-yaml.js";
import { AXES, type Profile } from "./plan/profile.js";
import type { PipelineSpec } from "./plan/spec.js";
import { translate } from "./plan/translate.js";

/** Which of the given characteristics are known. */
export interface CharacteristicValidation {
  /** Known ones, in input order, each once. */
  readonly valid: string[];
  /** Unknown ones, in input order, each once. */
  readonly unsupported: string[];
  readonly available: string[];
}

/** Turns words about objects and surroundings into pipelines. */
export interface AugmentationRegistry {
  /** @throws UnknownCharacteristicError, UnknownEnvironmentError, AugmentConfigError */
  getPipeline(spec: PipelineSpec, options?: PipelineOptions): Pipeline;
  getPipelineInfo(spec: PipelineSpec): PipelineInfo;
  getAvailableCharacteristics(): string[];
  getAvailableEnvironments(): { lighting: string[]; camera: string[]; background: string[]; distance: string[] };
  readonly translator: {
    /** Never throws. */
    validateCharacteristics(list: readonly string[]): CharacteristicValidation;
    /** Pure; the plan is JSON. */
    translate(spec: PipelineSpec): Plan;
  };
}

/**
 * A registry over a profile.
 *
 * @param options.profile - {@link defineProfile} checks one of your own. @defaultValue the profile of this package
 */
export function createRegistry({ profile: given }: { profile?: Profile } = {}): AugmentationRegistry {
  // Read at first use: importing the package must not cost anything.
  const tables = (): Profile => given ?? defaultProfile();
  return {
    getPipeline: (spec, options) => createPipeline(translate(spec, tables()), options),
    getPipelineInfo: (spec) => pipelineInfo(translate(spec, tables())),
    getAvailableCharacteristics: () => Object.keys(tables().characteristics),
    getAvailableEnvironments: () => {
      const [lighting, camera, background, distance] = AXES.map((axis) => Object.keys(tables().environments[axis])) as [
        string[],
        string[],
        string[],
        string[],
      ];
      return { lighting, camera, background, distance };
    },
    translator: {
      validateCharacteristics(list) {
        const available = Object.keys(tables().characteristics);
        const unique = [...new Set(list)];
        return {
          valid: unique.filter((name) => available.includes(name)),
          unsupported: unique.filter((name) => !available.includes(name)),
          available,
        };
      },
      translate: (spec) => translate(spec, tables()),
    },
  };
}

/** The registry over the profile of this package. */
export const registry: AugmentationRegistry = createRegistry();

/** The registry over the profile of this package. */
export function getAugmentationRegistry(): AugmentationRegistry {
  return registry;
}

/**
 * A pipeline from a YAML file's text: `characteristics`, or listed `transforms`.
 *
 * @throws AugmentConfigError with the path of what is wrong
 * @example loadPipeline("schemaVersion: 1\ncharacteristics: [low_contrast]\n").info().types[0] // "Affine"
 */
export function loadPipeline(
  yaml: string,
  { profile = defaultProfile(), ...options }: PipelineOptions & { profile?: Profile } = {},
): Pipeline {
  return createPipeline(planFromYaml(yaml, profile), options);
}

/** Like {@link loadPipeline}, from the parsed object. */
export function pipelineFromConfig(
  config: unknown,
  { profile = defaultProfile(), ...options }: PipelineOptions & { profile?: Profile } = {},
): Pipeline {
  return createPipeline(planFromConfig(config, profile), options);
}
