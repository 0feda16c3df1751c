/** Rectangle in picture pixels, half-open. */
export interface LabelRect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** What asks for a label. */
export interface LabelRequest {
  /** Clipped box in picture pixels, xyxy. */
  readonly box: readonly [number, number, number, number];
  readonly width: number;
  readonly height: number;
}

const overlap = (a: LabelRect, b: LabelRect): number =>
  Math.max(0, Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x)) *
  Math.max(0, Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y));

/**
 * Places labels one after the other, each wholly inside the picture: above its box, inside at the top, below, inside at the bottom, at the
 * left or the right end of the box, the first place free of earlier labels and of the obstacles, else the place that hides least of them.
 *
 * @param input.obstacles - what no label should hide, for example small objects
 * @param input.onlyFree - give no place to a label that would hide something; for pictures with a legend. @defaultValue false
 * @returns one place per label, null where there is none
 */
export function placeLabels({
  labels,
  pictureWidth,
  pictureHeight,
  obstacles = [],
  onlyFree = false,
}: {
  labels: readonly LabelRequest[];
  pictureWidth: number;
  pictureHeight: number;
  obstacles?: readonly LabelRect[];
  onlyFree?: boolean;
}): (LabelRect | null)[] {
  const places: (LabelRect | null)[] = [];
  const placed: LabelRect[] = [...obstacles];
  for (const { box, width, height } of labels) {
    const [x1, y1, x2, y2] = box;
    const rows = [y1 - height, y1, y2, y2 - height];
    const columns = [x1, x2 - width];
    let best: LabelRect | null = null;
    let least = Number.POSITIVE_INFINITY;
    for (const row of rows) {
      for (const column of columns) {
        const candidate = {
          x: Math.max(0, Math.min(column, pictureWidth - width)),
          y: Math.max(0, Math.min(row, pictureHeight - height)),
          width,
          height,
        };
        const hidden = placed.reduce((sum, other) => sum + overlap(candidate, other), 0);
        if (hidden < least) {
          best = candidate;
          least = hidden;
        }
        if (least === 0) break;
      }
      if (least === 0) break;
    }
    const place = onlyFree && least > 0 ? null : best!;
    places.push(place);
    if (place !== null) placed.push(place);
  }
  return places;
}
