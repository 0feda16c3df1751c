import { posix, resolve } from "node:path";
import { isImageName, listFiles } from "./image-files.js";
import { toNumber } from "./xml-files.js";
import { child, childText, type XmlElement } from "./xml-tree.js";

/** Names that CVAT gives the pictures of a video's frames. */
const FRAME_NAME = /^frame_(\d+)\.[^.]+$/i;
/** Digits of the number in such a name. */
const FRAME_DIGITS = 6;

/** Numbers of the frames whose pictures are below a folder. */
export async function framePictures(folder: string): Promise<number[]> {
  const files = await listFiles(resolve(folder)).catch(() => []);
  return files.flatMap((file) => {
    const digits = isImageName(file) ? FRAME_NAME.exec(posix.basename(file))?.[1] : undefined;
    return digits === undefined ? [] : [Number(digits)];
  });
}

/**
 * The frames of CVAT for video 1.1 as `<image>` elements, in order: frames with a shape, and frames whose picture is there (those without a shape
 * are pictures without objects). A track names one object over time; its shapes get its label and `track_id`, shapes outside of the picture
 * are left out. CVAT writes a shape for every frame of a track, interpolated ones included, so nothing is interpolated here. Pictures are named
 * `frame_000000.PNG` and so on, and are as large as the task states (`meta/task/original_size`).
 *
 * @param pictures - numbers of the frames whose pictures exist
 */
export function framesOf(
  document: XmlElement,
  tracks: readonly XmlElement[],
  pictures: readonly number[],
): XmlElement[] {
  const meta = child(document, "meta");
  const home = meta && (child(meta, "task") ?? child(meta, "job"));
  const size = (home && child(home, "original_size")) ?? (meta && child(meta, "original_size"));
  const shapes = new Map<number, XmlElement[]>(pictures.map((frame) => [frame, []]));
  for (const track of tracks) {
    for (const shape of track.children) {
      const frame = toNumber(shape.attributes["frame"]);
      if (frame === null || shape.attributes["outside"] === "1") continue;
      const attributes: Record<string, string> = { ...shape.attributes, label: track.attributes["label"] ?? "" };
      if (track.attributes["id"] !== undefined) attributes["track_id"] = track.attributes["id"];
      if (track.attributes["group_id"] !== undefined) attributes["group_id"] = track.attributes["group_id"];
      const list = shapes.get(frame);
      if (list === undefined) shapes.set(frame, [{ ...shape, attributes }]);
      else list.push({ ...shape, attributes });
    }
  }
  return [...shapes]
    .sort(([a], [b]) => a - b)
    .map(([frame, children]) => ({
      name: "image",
      attributes: {
        name: `frame_${String(frame).padStart(FRAME_DIGITS, "0")}.PNG`,
        width: (size && childText(size, "width")) ?? "",
        height: (size && childText(size, "height")) ?? "",
      },
      children,
      text: "",
      line: children[0]?.line ?? document.line,
    }));
}
