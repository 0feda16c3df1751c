import type { CocoDataset } from "@seg/coco-dataset";
import { barChart, matrixChart, panelGrid, type SafeHtml } from "../charts/index.js";

/** Cells of the two maps along one axis. */
const CELLS = 12;

/** Counts of boxes by two values in 0..1; the first runs to the right, the second downwards. */
function histogram(pairs: readonly (readonly [number, number])[]): number[][] {
  const counts = Array.from({ length: CELLS }, () => new Array<number>(CELLS).fill(0));
  const cell = (value: number) => Math.min(CELLS - 1, Math.max(0, Math.floor(value * CELLS)));
  for (const [x, y] of pairs) counts[cell(y)]![cell(x)]! += 1;
  return counts;
}

/** What the labels of a training split look like: objects per class, where their centres lie, how large they are (shares of the image). */
export function labelsPlot({ images, annotations, categories }: CocoDataset): SafeHtml {
  const sizeOf = new Map(images.map(({ id, width, height }) => [id, { width, height }]));
  const centres: [number, number][] = [];
  const sizes: [number, number][] = [];
  const perClass = new Map<number, number>();
  for (const { bbox, image_id, category_id, iscrowd } of annotations) {
    if (iscrowd === 1) continue;
    perClass.set(category_id, (perClass.get(category_id) ?? 0) + 1);
    const image = sizeOf.get(image_id);
    if (!image || !Array.isArray(bbox) || bbox.length !== 4) continue;
    const [x, y, width, height] = bbox as unknown as readonly [number, number, number, number];
    centres.push([(x + width / 2) / image.width, (y + height / 2) / image.height]);
    sizes.push([width / image.width, height / image.height]);
  }
  const groups = categories.map(({ id, name }) => ({ label: name, values: [perClass.get(id) ?? 0] }));
  const names = Array.from({ length: CELLS }, (_, i) => (i % 3 === 0 ? (i / CELLS).toFixed(2) : ""));
  const map = (
    title: string,
    pairs: readonly (readonly [number, number])[],
    rowLabel: string,
    columnLabel: string,
  ) => ({
    title,
    chart: matrixChart({ title, names, rows: histogram(pairs), rowLabel, columnLabel, format: () => "" }),
  });
  const bars = barChart({ title: "Objects by class", groups, series: ["objects"], xLabel: "objects" });
  return panelGrid({
    title: "Labels of the training split",
    columns: 3,
    panels: [
      { title: "Objects by class", chart: bars },
      map(`Centres of ${centres.length} boxes`, centres, "y", "x"),
      map("Sizes, shares of the image", sizes, "height", "width"),
    ],
  });
}
