import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { sha256 } from "../../test/support.js";
import { decodeImage } from "../decode-image.js";
import { decodeJpeg } from "./decode-jpeg.js";
import { parseJpeg } from "./parse-jpeg.js";

interface Recorded {
  readonly pillow: string;
  readonly cases: readonly { name: string; width: number; height: number; jpeg: string; sha256: string }[];
}
const recorded = JSON.parse(readFileSync(join(import.meta.dirname, "../../test/peer/jpeg.json"), "utf8")) as Recorded;
const bytesOf = (name: string): Uint8Array => Buffer.from(recorded.cases.find((c) => c.name === name)!.jpeg, "base64");
/** Pillow's files that are left to libvips: progressive, other colours, chroma too narrow to interpolate. */
const LEFT = ["4:2:0, three columns", "progressive", "RGB without conversion", "CMYK"];

/** Ours; null where it is left to libvips. */
function decode(bytes: Uint8Array): Uint8Array | null {
  const layout = parseJpeg(bytes);
  if (layout === null) return null;
  const out = new Uint8Array(layout.width * layout.height * 3);
  return decodeJpeg(bytes, layout, out) ? out : null;
}

async function libvips(bytes: Uint8Array): Promise<Uint8Array> {
  const options = { failOn: "none", ignoreIcc: true, limitInputPixels: false } as const;
  return sharp(bytes, options).toColourspace("srgb").raw({ depth: "uchar" }).toBuffer();
}

/** Waves with noise: few values in some blocks, all 64 in others. */
function picture(width: number, height: number, seed: number): Uint8Array {
  let state = seed + 1;
  return Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.max(0, Math.min(255, 128 + 120 * Math.sin(i / 60) + (i % 300 > 150 ? (state >>> 24) % 90 : 0)));
  });
}

describe("files of Pillow", () => {
  test.each(recorded.cases.filter(({ name }) => !LEFT.includes(name)))(
    "$name: every byte is Pillow's",
    ({ jpeg, ...to }) => {
      const bytes = Buffer.from(jpeg, "base64");
      expect(parseJpeg(bytes)).toMatchObject({ width: to.width, height: to.height });
      expect(sha256(decode(bytes)!)).toBe(to.sha256);
    },
  );
  test.each(LEFT)("%s: left to libvips", (name) => {
    expect(decode(bytesOf(name))).toBeNull();
  });
  test("reads the orientation", () => {
    expect(parseJpeg(bytesOf("4:2:0, EXIF orientation 6"))!.orientation).toBe(6);
    expect(parseJpeg(bytesOf("4:2:0"))!.orientation).toBe(1);
  });
});

describe("property", () => {
  test("every size, quality and sampling decodes to libvips's bytes", async () => {
    const any = fc.record({
      width: fc.integer({ min: 1, max: 70 }),
      height: fc.integer({ min: 1, max: 70 }),
      quality: fc.integer({ min: 1, max: 100 }),
      chromaSubsampling: fc.constantFrom("4:2:0", "4:4:4"),
      isGray: fc.boolean(),
      seed: fc.nat(1000),
    });
    let ours = 0;
    await fc.assert(
      fc.asyncProperty(any, async ({ width, height, quality, chromaSubsampling, isGray, seed }) => {
        const raw = { width, height, channels: 3 } as const;
        const image = sharp(picture(width, height, seed), { raw });
        const bytes = await (isGray ? image.grayscale() : image).jpeg({ quality, chromaSubsampling }).toBuffer();
        const found = decode(bytes);
        if (found === null) return;
        ours++;
        expect(Buffer.compare(found, await libvips(bytes))).toBe(0);
      }),
      { numRuns: 120, seed: 3 },
    );
    expect(ours).toBeGreaterThan(100);
  });
  test("a damaged file is left to libvips, or decodes as there", async () => {
    const names = recorded.cases.map(({ name }) => name);
    const damage = fc.array(fc.tuple(fc.nat(4000), fc.nat(255)), { minLength: 1, maxLength: 3 });
    let ours = 0;
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...names), damage, fc.nat(60), async (name, changes, cut) => {
        const whole = bytesOf(name);
        const bytes = Uint8Array.from(cut < 15 ? whole.subarray(0, whole.length - 1 - cut) : whole);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        const layout = parseJpeg(bytes);
        // A damaged size may ask for gigabytes.
        if (layout === null || layout.width * layout.height > 1e5) return;
        const found = decode(bytes);
        if (found === null) return;
        ours++;
        const other = await libvips(bytes).catch(() => null);
        if (other !== null) expect(Buffer.compare(found, other)).toBe(0);
      }),
      { numRuns: 400, seed: 5 },
    );
    expect(ours).toBeGreaterThan(20);
  });
  test("cut short anywhere, decodeImage refuses it", async () => {
    const bytes = bytesOf("4:2:0, restart every 2 MCUs");
    for (const length of [2, 20, 300, bytes.length - 40, bytes.length - 3]) {
      await expect(decodeImage(bytes.subarray(0, length))).rejects.toMatchObject({ code: "decode_failed" });
    }
  });
});
