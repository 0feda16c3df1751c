import { decodeImage } from "./decode-image.js";
import type { ModelKey } from "./models.js";
import type { ModelPlan } from "./plan.js";
import { type PrepareModelsOptions, prepareModels } from "./prepare-models.js";
import type { Job, JobResult } from "./worker-protocol.js";

/**
 * Decodes once, prepares for every plan.
 *
 * @throws PreprocessError when the picture cannot be decoded; a model's own failure is an entry of the result
 */
export async function runJob(
  { source, decode }: Job,
  plans: readonly ModelPlan[],
  options: PrepareModelsOptions,
): Promise<JobResult> {
  const image = await decodeImage(source, decode);
  const results = await prepareModels(image, plans, options);
  return {
    entries: plans.map(({ model }): [ModelKey, ReturnType<typeof results.get> & object] => [
      model,
      results.get(model)!,
    ]),
    warnings: image.warnings,
  };
}
