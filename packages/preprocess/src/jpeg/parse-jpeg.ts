import type { Orientation } from "../geometry.js";
import { exifOrientation } from "./exif-orientation.js";
import type { HuffmanSpec } from "./huffman-table.js";

/** A component of a frame. */
export interface JpegComponent {
  /** Blocks of an MCU, across and down. */
  readonly across: number;
  readonly down: number;
  /** 64 values, zigzag order. */
  readonly quantisation: Uint8Array;
  readonly dc: HuffmanSpec;
  readonly ac: HuffmanSpec;
}

/** A baseline JPEG of one scan, up to its entropy-coded bytes. */
export interface JpegLayout {
  readonly width: number;
  readonly height: number;
  /** Of EXIF; 1 where there is none. */
  readonly orientation: Orientation;
  /** Gray, or Y Cb Cr. */
  readonly components: readonly JpegComponent[];
  /** MCUs between restart markers; 0 without. */
  readonly restartInterval: number;
  /** First entropy-coded byte. */
  readonly scanStart: number;
}

const startsWith = (bytes: Uint8Array, text: string): boolean =>
  bytes.length >= text.length && [...text].every((c, i) => bytes[i] === c.charCodeAt(0));

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly components: readonly { id: number; across: number; down: number; table: number }[];
}

function parseFrame(body: Uint8Array): Frame | null {
  const [precision, h1, h0, w1, w0, count] = body;
  if (precision !== 8 || body.length !== 6 + 3 * count! || (count !== 1 && count !== 3)) return null;
  const components = Array.from({ length: count }, (_, i) => {
    const [id, sampling, table] = body.subarray(6 + 3 * i) as unknown as [number, number, number];
    return { id, across: sampling >> 4, down: sampling & 15, table };
  });
  return { width: (w1! << 8) | w0!, height: (h1! << 8) | h0!, components };
}

/** Gray, 4:4:4, 4:2:2 or 4:2:0, with the sampling in lowest terms; null for others. */
function samplingOf({ components, width }: Frame): readonly (readonly [number, number])[] | null {
  // A component alone is coded block by block, whatever its sampling says.
  if (components.length === 1) return [[1, 1]];
  const [luma, ...chroma] = components;
  if (chroma.some(({ across, down }) => across !== 1 || down !== 1)) return null;
  const { across, down } = luma!;
  const isKnown = (across === 1 || across === 2) && (down === 1 || (down === 2 && across === 2));
  // The reference interpolates chroma of more than two columns only.
  if (!isKnown || (across === 2 && Math.ceil(width / 2) <= 2)) return null;
  return [[across, down], ...chroma.map(() => [1, 1] as const)];
}

/**
 * Reads the markers of a JPEG.
 *
 * @returns null for everything but a baseline picture (8 bits, Huffman, gray or Y Cb Cr, one scan) whose every segment is in order
 */
export function parseJpeg(bytes: Uint8Array): JpegLayout | null {
  const quantisations: (Uint8Array | undefined)[] = [];
  const dcTables: (HuffmanSpec | undefined)[] = [];
  const acTables: (HuffmanSpec | undefined)[] = [];
  let frame: Frame | null = null;
  let orientation: Orientation | null = null;
  let restartInterval = 0;
  let isJfif = false;
  let adobeTransform = -1;
  let at = 2;
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return null;
  for (;;) {
    if (bytes[at] !== 0xff) return null;
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at++;
      continue;
    }
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    const end = at + 2 + length;
    if (!(length >= 2 && end <= bytes.length)) return null;
    const body = bytes.subarray(at + 4, end);
    at = end;
    if (marker === 0xe0) isJfif ||= startsWith(body, "JFIF\0");
    else if (marker === 0xe1 && startsWith(body, "Exif\0\0")) {
      // Two blocks: which one counts is the reader's choice.
      const found: Orientation | null = orientation === null ? exifOrientation(body.subarray(6)) : null;
      if (found === null) return null;
      orientation = found;
    } else if (marker === 0xee && startsWith(body, "Adobe") && body.length >= 12) adobeTransform = body[11]!;
    else if (marker === 0xdb) {
      for (let p = 0; p < body.length; p += 65) {
        if (body[p]! > 3 || p + 65 > body.length) return null;
        quantisations[body[p]!] = body.subarray(p + 1, p + 65);
      }
    } else if (marker === 0xc0 || marker === 0xc1) {
      if (frame !== null) return null;
      frame = parseFrame(body);
      if (frame === null) return null;
    } else if (marker === 0xc4) {
      for (let p = 0; p < body.length; ) {
        const id = body[p]!;
        const counts = body.subarray(p + 1, p + 17);
        const total = counts.reduce((sum, n) => sum + n, 0);
        if ((id & 15) > 3 || id >> 4 > 1 || total > 256 || p + 17 + total > body.length) return null;
        (id >> 4 === 0 ? dcTables : acTables)[id & 15] = { counts, symbols: body.subarray(p + 17, p + 17 + total) };
        p += 17 + total;
      }
    } else if (marker === 0xdd) {
      if (body.length !== 2) return null;
      restartInterval = (body[0]! << 8) | body[1]!;
    } else if (marker === 0xda) {
      if (frame === null || frame.width === 0 || frame.height === 0) return null;
      const layout = scanLayout(frame, body, { quantisations, dcTables, acTables });
      if (layout === null || !isLumaFirst(frame, isJfif, adobeTransform)) return null;
      const { width, height } = frame;
      return { width, height, orientation: orientation ?? 1, components: layout, restartInterval, scanStart: at };
    } else if (marker < 0xe0 || (marker > 0xef && marker !== 0xfe)) return null;
  }
}

/** Whether three components are Y Cb Cr: JFIF says so, else Adobe's marker, else their ids do. */
function isLumaFirst({ components }: Frame, isJfif: boolean, adobeTransform: number): boolean {
  if (components.length === 1 || isJfif) return true;
  return adobeTransform >= 0 ? adobeTransform === 1 : components.every(({ id }, i) => id === i + 1);
}

function scanLayout(
  frame: Frame,
  body: Uint8Array,
  tables: {
    quantisations: readonly (Uint8Array | undefined)[];
    dcTables: readonly (HuffmanSpec | undefined)[];
    acTables: readonly (HuffmanSpec | undefined)[];
  },
): JpegComponent[] | null {
  const sampling = samplingOf(frame);
  const n = frame.components.length;
  // Every component, all 64 values, no refinement.
  if (sampling === null || body.length !== 4 + 2 * n || body[0] !== n) return null;
  if (body[1 + 2 * n] !== 0 || body[2 + 2 * n] !== 63 || body[3 + 2 * n] !== 0) return null;
  const components: JpegComponent[] = [];
  for (let i = 0; i < n; i++) {
    const component = frame.components[i]!;
    const chosen = body[2 + 2 * i]!;
    const quantisation = tables.quantisations[component.table];
    const dc = tables.dcTables[chosen >> 4];
    const ac = tables.acTables[chosen & 15];
    if (body[1 + 2 * i] !== component.id || quantisation === undefined || dc === undefined || ac === undefined)
      return null;
    const [across, down] = sampling[i]!;
    components.push({ across, down, quantisation, dc, ac });
  }
  return components;
}
