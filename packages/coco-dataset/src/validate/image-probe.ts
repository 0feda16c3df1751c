import { loadSharp } from "../load-sharp.js";
import type { ImageProbe, ProbeImage } from "./images.js";

/** Side to which looks are measured: sharpness must not depend on the resolution. */
const LOOK_SIDE = 256;

/**
 * The probe of `validateDataset` by sharp: decodes completely, reads size, EXIF orientation and mode, and measures gray.
 * @throws SharpMissingError `coco/sharp-missing`
 */
export async function createImageProbe(): Promise<ProbeImage> {
  const sharp = await loadSharp("Looking into image files");
  return async (path) => {
    const image = sharp(path, { failOn: "error" });
    const meta = await image.metadata();
    const { data, info } = await image
      .resize(LOOK_SIDE, LOOK_SIDE, { fit: "inside", withoutEnlargement: true })
      .toColourspace("b-w")
      .removeAlpha()
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    const gray = measureGray(data, info.width, info.height);
    return {
      width: meta.width,
      height: meta.height,
      orientation: meta.orientation ?? 1,
      mode: modesOf(meta),
      gray,
    };
  };
}

function modesOf({
  space,
  depth,
  hasAlpha,
  pages = 1,
}: {
  readonly space?: string | undefined;
  readonly depth?: string | undefined;
  readonly hasAlpha?: boolean | undefined;
  readonly pages?: number | undefined;
}): string[] {
  return [
    ...(space === "cmyk" ? ["CMYK"] : []),
    ...(space === "b-w" || space === "grey16" ? ["gray"] : []),
    ...(depth !== undefined && depth !== "uchar" ? ["16 bit"] : []),
    ...(hasAlpha === true ? ["alpha"] : []),
    ...(pages > 1 ? ["several frames"] : []),
  ];
}

/** Mean, standard deviation and variance of the Laplacian (4-neighbour, inside pixels) of row-major gray. */
function measureGray(data: Uint8Array, width: number, height: number): NonNullable<ImageProbe["gray"]> {
  let sum = 0;
  let squares = 0;
  for (const value of data) {
    sum += value;
    squares += value * value;
  }
  const count = Math.max(1, data.length);
  const mean = sum / count;
  let edges = 0;
  let edgeSquares = 0;
  let inside = 0;
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) {
      const at = y * width + x;
      const value = data[at - 1]! + data[at + 1]! + data[at - width]! + data[at + width]! - 4 * data[at]!;
      edges += value;
      edgeSquares += value * value;
      inside++;
    }
  }
  const edgeMean = inside === 0 ? 0 : edges / inside;
  return {
    mean,
    deviation: Math.sqrt(Math.max(0, squares / count - mean * mean)),
    laplacianVariance: inside === 0 ? 0 : edgeSquares / inside - edgeMean * edgeMean,
  };
}
