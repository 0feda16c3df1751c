import { join } from "node:path";
import { type Box, type CocoDataset, instancesOf, type RgbImage, xywhToXyxy } from "@seg/coco-dataset";
import { type OverlayInstance, renderOverlay } from "@seg/coco-dataset/preview";
import { decodeImage } from "@seg/preprocess";
import type { ObjectComparison, Overlay } from "../report/report-data.js";
import type { StudentRecord } from "../student-record.js";
import { cropInstance } from "./crop-instance.js";
import { type DrawnModel, foundOn } from "./drawn-pictures.js";

/** Side of a cut-out in pixels of the report; three stand in a row. */
const SIDE = 300;
/** A cut-out shows the object with as much again around it, and never less than this many pixels of the image. */
const MIN_REGION = 48;

/**
 * Objects that the reference of a comparison found and the candidate missed, cut out of their images: as annotated, by the reference, by the
 * candidate. Every image gives one object before any gives a second.
 *
 * @param models - both by name; a comparison with another model is passed over
 * @param count - objects of each comparison
 */
export async function lostPictures({
  dataset,
  imagesDir,
  classes,
  comparisons,
  models,
  count,
  signal,
}: {
  dataset: CocoDataset;
  imagesDir: string;
  classes: StudentRecord["classes"];
  comparisons: readonly ObjectComparison[];
  models: readonly DrawnModel[];
  count: number;
  signal: AbortSignal;
}): Promise<Overlay[]> {
  const annotations = new Map(dataset.annotations.map((annotation) => [annotation.id, annotation]));
  const images = new Map(dataset.images.map((image) => [image.id, image]));
  const pictures: Overlay[] = [];
  for (const { reference, candidate, lost } of comparisons) {
    const drawn = [reference, candidate].map(({ name }) => models.find((model) => model.name === name));
    if (drawn.includes(undefined)) continue;
    const group = `Found by ${reference.name}, lost by ${candidate.name}`;
    for (const { annotation: id, file, class: name } of spread(lost).slice(0, count)) {
      signal.throwIfAborted();
      const { bbox, image_id } = annotations.get(id)!;
      const { width, height } = images.get(image_id)!;
      const image = await decodeImage(join(imagesDir, file), { expectedSize: { width, height } });
      const region = regionAround(xywhToXyxy(bbox as [number, number, number, number]), image);
      const cut = cropImage(image, region);
      const draw = async (caption: string, instances: readonly OverlayInstance[]) => {
        const inside = instances.map((o) => cropInstance(o, region)).filter((o) => o !== null);
        const picture = await renderOverlay({
          ...{ image: cut, instances: inside, format: "jpeg" as const },
          ...{ maxSide: SIDE, minWidth: SIDE },
        });
        pictures.push({ group, title: `${file}, ${name} ${id}`, caption, image: picture, mime: "image/jpeg" });
      };
      await draw(
        "annotated",
        instancesOf(dataset, image_id, { classes }).map((o) => ({ ...o, name: classes[o.classId]!.name })),
      );
      for (const model of drawn) await draw(model!.name, foundOn(image_id, model!, classes));
    }
  }
  return pictures;
}

/** In turns by image, the order of the images kept. */
function spread(lost: ObjectComparison["lost"]): ObjectComparison["lost"] {
  const turns = new Map<string, number>();
  return lost
    .map((object) => {
      const turn = turns.get(object.file) ?? 0;
      turns.set(object.file, turn + 1);
      return { object, turn };
    })
    .sort((a, b) => a.turn - b.turn)
    .map(({ object }) => object);
}

/** A square around a box, in whole pixels inside the image. */
function regionAround([x1, y1, x2, y2]: Box, { width, height }: RgbImage): Box {
  const side = Math.max(MIN_REGION, 2 * (x2 - x1), 2 * (y2 - y1));
  const span = (low: number, high: number, size: number): readonly [number, number] => {
    const length = Math.min(size, Math.ceil(side));
    const start = Math.round(Math.min(Math.max(0, (low + high - length) / 2), size - length));
    return [start, start + length];
  };
  const [[left, right], [top, bottom]] = [span(x1, x2, width), span(y1, y2, height)];
  return [left, top, right, bottom];
}

function cropImage({ data, width }: RgbImage, [left, top, right, bottom]: Box): RgbImage {
  const row = (right - left) * 3;
  const cut = new Uint8Array((bottom - top) * row);
  for (let y = top; y < bottom; y++) {
    const start = (y * width + left) * 3;
    cut.set(data.subarray(start, start + row), (y - top) * row);
  }
  return { width: right - left, height: bottom - top, data: cut };
}
