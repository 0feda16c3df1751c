import { CounterRandom } from "@seg/augment";

/** Noise images in 0..1, CHW, as the network sees them. */
export const randomImages = (count: number, size: number, seed = 5): Float32Array[] =>
  Array.from({ length: count }, (_, index) => {
    const random = new CounterRandom({ seed, path: "image", index });
    return Float32Array.from({ length: 3 * size * size }, () => random.uniform());
  });
