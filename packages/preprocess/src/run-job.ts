import { decodeInto } from "./decode-image.js";
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
  let pixels: Uint8Array | null = null;
  const image = await decodeInto(source, decode, (length) => {
    pixels = options.pool.take("uint8", length) as Uint8Array;
    return pixels;
  });
  const results = await prepareModels(image, plans, options);
  // Nothing of the result lies in the decoded picture: the next one takes its place.
  if (pixels !== null) options.pool.give((pixels as Uint8Array).buffer as ArrayBuffer);
  return {
    entries: plans.map(({ model }): [ModelKey, ReturnType<typeof results.get> & object] => [
      model,
      results.get(model)!,
    ]),
    warnings: image.warnings,
  };
}
