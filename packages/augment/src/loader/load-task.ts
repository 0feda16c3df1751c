import { AugmentConfigError } from "../errors.js";
import type { Backend } from "../kernels/choose-kernels.js";
import { createPipeline, type Pipeline } from "../pipeline/pipeline.js";
import type { PipelineResult } from "../pipeline/types.js";
import type { Plan } from "../plan/plan.js";
import { type ClassIndex, donorsFrom, loadNumbered, type SampleSource } from "./sample-source.js";

/** How a thread finds the dataset: a module whose export makes the source. Everything here is copied to the workers. */
export interface SourceModule {
  /** URL of the module (`new URL("./source.js", import.meta.url).href`). */
  readonly module: string;
  /** @defaultValue "createSource" */
  readonly exportName?: string;
  /** Argument of the export; must survive structured cloning. */
  readonly options?: unknown;
}

/** What every thread of a loader is given. */
export interface LoadSetup {
  readonly source: SourceModule;
  readonly plan: Plan;
  readonly backend: Backend;
}

/** Loads and augments single samples; the same code in every thread and without any. */
export interface LoadTask {
  readonly count: number;
  run(epoch: number, index: number): Promise<PipelineResult>;
}

type Factory = (options: unknown) => SampleSource | Promise<SampleSource>;

/** @throws AugmentConfigError when the module has no such export */
export async function createLoadTask({
  source: { module, exportName = "createSource", options },
  plan,
  backend,
}: LoadSetup): Promise<LoadTask> {
  const loaded = (await import(module)) as Record<string, unknown>;
  const factory = loaded[exportName];
  if (typeof factory !== "function") {
    throw new AugmentConfigError({
      path: "source.exportName",
      message: `${module} exports no function "${exportName}"; it has ${Object.keys(loaded).join(", ") || "no exports"}.`,
    });
  }
  const source = await (factory as Factory)(options);
  return taskOf(source, createPipeline(plan, { backend }));
}

export function taskOf(source: SampleSource & { readonly classes?: ClassIndex }, pipeline: Pipeline): LoadTask {
  const { classes } = source;
  return {
    count: source.count,
    run: async (epoch, index) =>
      pipeline(await loadNumbered(source, index), {
        epoch,
        index,
        donors: donorsFrom(source, index, classes === undefined ? {} : { classes }),
      }),
  };
}
