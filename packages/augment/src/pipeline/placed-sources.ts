import { compose, type Homography } from "../core/homography.js";
import { CounterRandom } from "../philox.js";
import type { Layer } from "./scene.js";
import type { PlacedMap, PlacedSource } from "./types.js";

/** The generator of a map or plane, from the key that its step drew. */
export const keyedRandom = (key: number): CounterRandom => new CounterRandom({ seed: key, path: "plane" });

/** Appends a map; neighbouring matrices become one. */
function append(maps: readonly PlacedMap[], next: PlacedMap): PlacedMap[] {
  const last = maps.at(-1);
  if (next.kind === "matrix" && last?.kind === "matrix") {
    return [...maps.slice(0, -1), { kind: "matrix", matrix: compose(last.matrix, next.matrix) }];
  }
  return [...maps, next];
}

const wholeMatrix = (maps: readonly PlacedMap[]): Homography | null =>
  maps.length === 1 && maps[0]!.kind === "matrix" ? maps[0]!.matrix : null;

/** The sources of pictures that are drawn for the first time, placed and nothing more. */
export function layerSources(layers: readonly Layer[]): PlacedSource[] {
  return layers.flatMap(({ from, image: { width, height }, place, clip }) =>
    from === null
      ? []
      : [
          {
            ...from,
            width,
            height,
            clip,
            matrix: place,
            maps: [{ kind: "matrix" as const, matrix: place }],
            weight: 1,
          },
        ],
  );
}

/** All sources after the canvas went through further maps. */
export function extendSources(sources: readonly PlacedSource[], next: readonly PlacedMap[]): PlacedSource[] {
  return sources.map((source) => {
    const maps = next.reduce<readonly PlacedMap[]>(append, source.maps);
    return { ...source, maps, matrix: wholeMatrix(maps) };
  });
}

/** Sources of two pictures that are blended: ratio of the first, the rest of the second, whose own picture gets `path`. */
export function mixSources(
  own: readonly PlacedSource[],
  other: readonly PlacedSource[],
  { path, ratio }: { path: string; ratio: number },
): PlacedSource[] {
  return [
    ...own.map((source) => ({ ...source, weight: source.weight * ratio })),
    ...other.map((source) => ({ ...source, path, weight: source.weight * (1 - ratio) })),
  ];
}
