/** Result of {@link autoBatch}. */
export interface AutoBatch {
  readonly batch: number;
  /** Predicted memory of a step with it, bytes. */
  readonly bytes: number;
  readonly bytesPerImage: number;
}

/**
 * The largest batch whose step fits into a budget, a power of two: memory is measured at batch 1 and 2 and extrapolated as a straight line, since
 * activations grow with the images and everything else does not.
 *
 * @param bytesOf - memory of one training step at this batch, bytes; called with 1, then 2
 * @param budgetBytes - for the step
 * @param max - upper limit @defaultValue 64
 * @returns batch 1 also when not even that fits: the caller cannot do with less
 */
export async function autoBatch({
  bytesOf,
  budgetBytes,
  max = 64,
}: {
  bytesOf: (batch: number) => number | Promise<number>;
  budgetBytes: number;
  max?: number;
}): Promise<AutoBatch> {
  const one = await bytesOf(1);
  const bytesPerImage = Math.max(1, (await bytesOf(2)) - one);
  const predicted = (batch: number) => one + bytesPerImage * (batch - 1);
  let batch = 1;
  while (2 * batch <= max && predicted(2 * batch) <= budgetBytes) batch *= 2;
  return { batch, bytes: predicted(batch), bytesPerImage };
}
