import { CounterRandom } from "@seg/augment";
import type { InitContext } from "@seg/nn";

/** N(0, deviation^2), redrawn outside two deviations. */
export function truncatedNormal(context: InitContext, size: number, deviation: number): Float32Array {
  if (context.blank) return new Float32Array(size);
  const random = new CounterRandom({ seed: context.seed, path: `init/${context.path}` });
  return Float32Array.from({ length: size }, () => {
    let value = random.normal();
    while (Math.abs(value) > 2) value = random.normal();
    return value * deviation;
  });
}
