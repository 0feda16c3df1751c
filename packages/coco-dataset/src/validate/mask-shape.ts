import { type MaskTopology, maskTopology } from "../mask/topology.js";
import { isPolygons, usableSegmentation } from "../presence.js";
import { segmentationToRle } from "../segmentation.js";
import type { Item } from "./geometry.js";
import type { RawFinding } from "./raw-finding.js";
import type { HealthThresholds } from "./thresholds.js";

/** Findings about pieces, holes and vertices of masks; crowd regions are left out. */
export function shapeFindings(items: readonly Item[], limits: HealthThresholds): RawFinding[] {
  const several: number[] = [];
  const hollow: number[] = [];
  const dense: number[] = [];
  for (const item of items) {
    if (item.mask === null || item.annotation.iscrowd === 1) continue;
    const { components, holes } = topologyOf(item);
    if (components > 1) several.push(item.annotation.id);
    if (holes > 0) hollow.push(item.annotation.id);
    if (isDense(item, limits)) dense.push(item.annotation.id);
  }
  const finding = (code: string, message: string, ids: readonly number[]): RawFinding[] =>
    ids.length === 0 ? [] : [{ code, severity: "warn", layer: "geometry", message, ids }];
  return [
    ...finding(
      "mask_multi_component",
      "A mask has several pieces: an occluded object, or several objects in one",
      several,
    ),
    ...finding("mask_has_holes", "A mask has holes; formats of one polygon an object need a bridge for them", hollow),
    ...finding(
      "polygon_too_dense",
      `A polygon has a vertex every ${limits.denseEdgePixels} px or more often; simplify it where it was exported`,
      dense,
    ),
  ];
}

/** Parts of polygons are pieces; holes of polygons exist only through bridges, which repeat a vertex. */
function topologyOf({ annotation, image }: Item): MaskTopology {
  const segmentation = usableSegmentation(annotation)!;
  const read = () => maskTopology(segmentationToRle(segmentation, image.height, image.width));
  if (!isPolygons(segmentation)) return read();
  if (!segmentation.some(repeatsVertex)) return { components: segmentation.length, holes: 0 };
  return { components: segmentation.length, holes: read().holes };
}

/** Whether a vertex may occur twice, not in a row; equal keys of different vertices only cost a closer look. */
function repeatsVertex(part: readonly number[]): boolean {
  const seen = new Set<number>();
  // Closed rings repeat the first vertex at the end.
  const isClosed = part[0] === part.at(-2) && part[1] === part.at(-1);
  const end = part.length - (isClosed ? 2 : 0);
  for (let i = 0; i < end; i += 2) {
    // A vertex written twice in a row is no bridge.
    if (i > 0 && part[i] === part[i - 2] && part[i + 1] === part[i - 1]) continue;
    const key = part[i]! * 65_537 + part[i + 1]!;
    if (seen.has(key)) return true;
    seen.add(key);
  }
  return false;
}

function isDense({ annotation }: Item, { denseEdgePixels, denseMinVertices }: HealthThresholds): boolean {
  const segmentation = usableSegmentation(annotation);
  if (segmentation === null || !isPolygons(segmentation)) return false;
  return segmentation.some((part) => {
    const vertices = part.length / 2;
    if (vertices < denseMinVertices) return false;
    let length = 0;
    for (let i = 0, j = part.length - 2; i < part.length; j = i, i += 2) {
      length += Math.hypot(part[i]! - part[j]!, part[i + 1]! - part[j + 1]!);
    }
    return length / vertices < denseEdgePixels;
  });
}
