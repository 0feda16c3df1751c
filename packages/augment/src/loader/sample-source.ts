import type { CounterRandom } from "../philox.js";
import type { DonorInstance, DonorSource, PipelineSample } from "../pipeline/types.js";

/** A dataset as the loader reads it; must give the same sample for the same index every time. */
export interface SampleSource {
  readonly count: number;
  load(index: number): PipelineSample | Promise<PipelineSample>;
}

/** A sample that knows its index, so that {@link PipelineResult.sources} can name it. */
export function loadNumbered(source: SampleSource, index: number): PipelineSample | Promise<PipelineSample> {
  const number = (sample: PipelineSample): PipelineSample => ({ source: index, ...sample });
  const loaded = source.load(index);
  return loaded instanceof Promise ? loaded.then(number) : number(loaded);
}

/**
 * Donors for mixing out of a source: other samples than `index` where there are others; instances of equally likely classes from a few of
 * them.
 *
 * @param options.classes - class of every sample's instances, where the caller knows them: balances over the whole dataset instead of over four
 * drawn samples
 */
export function donorsFrom(
  source: SampleSource,
  index: number,
  { classes }: { classes?: ClassIndex } = {},
): DonorSource {
  const other = (stream: CounterRandom): number => {
    if (source.count < 2) return index;
    const drawn = stream.integer(0, source.count - 2);
    return drawn >= index ? drawn + 1 : drawn;
  };
  const distinct = (stream: CounterRandom, n: number): number[] => {
    const chosen: number[] = [];
    // A few tries each: small datasets repeat donors rather than fail.
    for (let k = 0; k < n; k++) {
      let candidate = other(stream);
      for (let attempt = 0; attempt < 4 && chosen.includes(candidate); attempt++) candidate = other(stream);
      chosen.push(candidate);
    }
    return chosen;
  };
  const loadAll = (indices: readonly number[]) => {
    const loaded = indices.map((i) => loadNumbered(source, i));
    return loaded.some((sample) => sample instanceof Promise)
      ? Promise.all(loaded)
      : (loaded as readonly PipelineSample[]);
  };
  return {
    get: (stream, n) => loadAll(distinct(stream, n)),
    ...(classes === undefined
      ? {}
      : {
          getInstances: (stream: CounterRandom, n: number) => {
            const picks = Array.from({ length: n }, () => {
              const members = classes[stream.integer(0, classes.length - 1)]!;
              return members[stream.integer(0, members.length - 1)]!;
            });
            const samples = loadAll(picks.map(({ sample }) => sample));
            const pair = (list: readonly PipelineSample[]): DonorInstance[] =>
              list.map((sample, k) => ({ sample, index: picks[k]!.instance }));
            return samples instanceof Promise ? samples.then(pair) : pair(samples);
          },
        }),
  };
}

/** Per class the instances with a mask: the bank of copy_paste. */
export type ClassIndex = readonly (readonly { readonly sample: number; readonly instance: number }[])[];
