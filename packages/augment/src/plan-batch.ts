import { donorsFrom } from "./loader/sample-source.js";
import { type Pipeline, withoutPixels } from "./pipeline/pipeline.js";
import type { AppliedStep, PipelineOutline, SampleOutline } from "./pipeline/types.js";
import { findTransform } from "./plan/transform-registry.js";

/** A dataset as {@link planBatch} reads it: sizes and annotations, no pixels. */
export interface OutlineSource {
  readonly count: number;
  load(index: number): SampleOutline | Promise<SampleOutline>;
}

/** What will happen to one picture, without its pixels; `pipeline.replay(planned.replay, sample, { donors })` makes the picture. */
export interface PlannedSample extends PipelineOutline {
  /** Index in the source. */
  readonly index: number;
  /** Steps that change colours or hide pixels, with their drawn parameters, in order. */
  readonly photometric: AppliedStep[];
}

/**
 * Plans a batch: for every index the pictures it is made of with their composed matrices ({@link PipelineOutline.sources}), the moved
 * annotations, the drawn parameters and the record to replay. Depends on the pipeline's plan and seed, the epoch and the index alone; equal to
 * what the pipeline gives for the same key with {@link donorsFrom} over the same source.
 *
 * @throws AugmentError as the pipeline does; the signal's reason when aborted
 * @example
 * const [first] = await planBatch({ pipeline, source, epoch: 0, indices: [12] });
 * first.sources[0].matrix // source pixels -> result pixels, row-major 3 x 3
 */
export async function planBatch({
  pipeline,
  source,
  epoch,
  indices,
  signal,
}: {
  pipeline: Pipeline;
  source: OutlineSource;
  /** From 0. */
  epoch: number;
  indices: Iterable<number>;
  signal?: AbortSignal;
}): Promise<PlannedSample[]> {
  const load = async (index: number) => withoutPixels(await source.load(index));
  const planned: PlannedSample[] = [];
  for (const index of indices) {
    signal?.throwIfAborted();
    const donors = donorsFrom({ count: source.count, load }, index);
    const outline = await pipeline.outline({ source: index, ...(await load(index)) }, { epoch, index, donors });
    planned.push({ ...outline, index, photometric: outline.trace.filter(isPhotometric) });
  }
  return planned;
}

const MIXING: ReadonlySet<string> = new Set(["mosaic", "copy_paste", "mixup"]);

function isPhotometric({ type, path, params }: AppliedStep): boolean {
  if (params === null || MIXING.has(type)) return false;
  const { kind } = findTransform(type, path);
  return kind === "pointwise" || kind === "image";
}
