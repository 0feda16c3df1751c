import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROCESSORS, sha256, syn } from "../test/support.js";
import { decodeImage } from "./decode-image.js";
import type { Orientation } from "./geometry.js";
import { orientImage, orientPoint, swapsSides } from "./orientation.js";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "seg-decode-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const rgb = syn(30, 20);
const raw = { raw: { width: 30, height: 20, channels: 3 as const } };

/** A gray TIFF of 32-bit floats (sample format 3), which sharp reads and does not write. */
function floatTiff(width: number, height: number): Buffer {
  const tags = [
    [256, 4, width],
    [257, 4, height],
    [258, 3, 32],
    [259, 3, 1],
    [262, 3, 1],
    [273, 4, 8 + 2 + 10 * 12 + 4],
    [277, 3, 1],
    [278, 4, height],
    [279, 4, width * height * 4],
    [339, 3, 3],
  ] as const;
  const file = Buffer.alloc(8 + 2 + tags.length * 12 + 4 + width * height * 4);
  file.write("II*\0", 0, "latin1");
  file.writeUInt32LE(8, 4);
  file.writeUInt16LE(tags.length, 8);
  tags.forEach(([tag, type, value], i) => {
    const at = 10 + i * 12;
    file.writeUInt16LE(tag, at);
    file.writeUInt16LE(type, at + 2);
    file.writeUInt32LE(1, at + 4);
    if (type === 3) file.writeUInt16LE(value, at + 8);
    else file.writeUInt32LE(value, at + 8);
  });
  for (let i = 0; i < width * height; i++) file.writeFloatLE(i * 100, 8 + 2 + tags.length * 12 + 4 + i * 4);
  return file;
}

describe("decodeImage", () => {
  test("expands gray, gray with alpha and palette, drops alpha without blending", async () => {
    const gray = Uint8Array.from({ length: 600 }, (_, i) => i & 255);
    const grayPng = await sharp(gray, { raw: { width: 30, height: 20, channels: 1 } })
      .png()
      .toBuffer();
    const expanded = Uint8Array.from({ length: 1800 }, (_, i) => gray[Math.floor(i / 3)]!);
    expect((await decodeImage(grayPng)).data).toEqual(expanded);

    const la = Uint8Array.from({ length: 1200 }, (_, i) => (i % 2 === 0 ? gray[i / 2]! : 7));
    const laPng = await sharp(la, { raw: { width: 30, height: 20, channels: 2 } })
      .png()
      .toBuffer();
    expect((await decodeImage(laPng)).data).toEqual(expanded);

    const rgba = Uint8Array.from({ length: 2400 }, (_, i) =>
      i % 4 === 3 ? 3 : rgb.data[Math.floor(i / 4) * 3 + (i % 4)]!,
    );
    const rgbaPng = await sharp(rgba, { raw: { width: 30, height: 20, channels: 4 } })
      .png()
      .toBuffer();
    expect((await decodeImage(rgbaPng)).data).toEqual(rgb.data);

    const two = Uint8Array.from(
      { length: 1800 },
      (_, i) => (Math.floor(i / 3) % 2 === 0 ? [255, 0, 10] : [0, 128, 90])[i % 3]!,
    );
    const palette = await sharp(two, raw).png({ palette: true, colours: 4, dither: 0 }).toBuffer();
    expect((await sharp(palette).metadata()).isPalette).toBe(true);
    const decoded = await decodeImage(palette);
    expect(decoded.data.length).toBe(1800);
    expect(Math.max(...decoded.data.map((v, i) => Math.abs(v - two[i]!)))).toBeLessThanOrEqual(2);
  });

  test("shifts 16 bits to 8", async () => {
    const png = await sharp(
      Uint16Array.from({ length: 600 }, (_, i) => i * 109),
      {
        raw: { width: 30, height: 20, channels: 1 },
      },
    )
      .toColourspace("grey16")
      .png()
      .toBuffer();
    expect((await sharp(png).metadata()).depth).toBe("ushort");
    const { data } = await decodeImage(png);
    for (let i = 0; i < 600; i++) expect(data[i * 3]).toBe((i * 109) >> 8);
  });

  test("clips 16-bit gray as Pillow does, on request, and nothing else", async () => {
    const words = Uint16Array.from({ length: 600 }, (_, i) => (i * 3) % 600);
    const gray = await sharp(words, { raw: { width: 30, height: 20, channels: 1 } })
      .toColourspace("grey16")
      .png()
      .toBuffer();
    const { data } = await decodeImage(gray, { sixteenBit: "clip" });
    for (let i = 0; i < 1800; i++) expect(data[i]).toBe(Math.min(255, words[Math.floor(i / 3)]!));
    const colour = await sharp(
      Uint16Array.from({ length: 1800 }, (_, i) => i * 36),
      {
        raw: { width: 30, height: 20, channels: 3 },
      },
    )
      .toColourspace("rgb16")
      .png()
      .toBuffer();
    expect((await sharp(colour).metadata()).depth).toBe("ushort");
    const clipped = await decodeImage(colour, { sixteenBit: "clip" });
    expect(clipped.data).toEqual((await decodeImage(colour)).data);
    for (let i = 0; i < 1800; i++) expect(clipped.data[i]).toBe((i * 36) >> 8);
  });

  test("takes the first page of an animation and says so", async () => {
    const red = Buffer.alloc(30 * 20 * 3, Buffer.from([250, 0, 0]));
    const green = Buffer.alloc(30 * 20 * 3, Buffer.from([0, 250, 0]));
    const pages = Buffer.concat([red, green]);
    const gif = await sharp(pages, { raw: { width: 30, height: 40, channels: 3, pageHeight: 20 } })
      .gif({ delay: [100, 100] })
      .toBuffer();
    expect((await sharp(gif).metadata()).pages).toBe(2);
    const image = await decodeImage(gif);
    expect([image.width, image.height, image.warnings]).toEqual([30, 20, ["first_page_only"]]);
    for (const [i, value] of [250, 0, 0].entries()) expect(Math.abs(image.data[i]! - value)).toBeLessThanOrEqual(8);
  });

  test("refuses pixels without a range, and URLs", async () => {
    const float = floatTiff(4, 3);
    expect((await sharp(float).metadata()).depth).toBe("float");
    await expect(decodeImage(float)).rejects.toMatchObject({ code: "unsupported_mode" });
    await expect(decodeImage("https://example.org/a.jpg")).rejects.toMatchObject({
      code: "decode_failed",
      message: expect.stringContaining("URL"),
    });
  });

  test("decodes one pixel, and every subsampling to the size of the picture", async () => {
    const one = await sharp(Uint8Array.of(9, 8, 7), { raw: { width: 1, height: 1, channels: 3 } })
      .png()
      .toBuffer();
    expect([...(await decodeImage(one)).data]).toEqual([9, 8, 7]);
    for (const chromaSubsampling of ["4:4:4", "4:2:0"]) {
      for (const progressive of [false, true]) {
        const jpeg = await sharp(syn(31, 19).data, { raw: { width: 31, height: 19, channels: 3 } })
          .jpeg({ chromaSubsampling, progressive, quality: 100 })
          .toBuffer();
        const image = await decodeImage(jpeg);
        expect([image.width, image.height, image.data.length]).toEqual([31, 19, 31 * 19 * 3]);
      }
    }
  });

  test("a truncated PNG keeps the rows that it has", async () => {
    const whole = await sharp(syn(300, 200).data, { raw: { width: 300, height: 200, channels: 3 } })
      .png({ compressionLevel: 0 })
      .toBuffer();
    const half = whole.subarray(0, Math.floor(whole.length / 2));
    await expect(decodeImage(half)).rejects.toMatchObject({ code: "decode_failed", source: "<bytes>" });
    const image = await decodeImage(half, { allowTruncated: true });
    expect(image.warnings).toEqual(["truncated"]);
    expect(image.data.subarray(0, 300 * 3 * 80)).toEqual(syn(300, 200).data.subarray(0, 300 * 3 * 80));
    expect((await decodeImage(whole, { allowTruncated: true })).warnings).toEqual([]);
  });

  test("ignores an embedded colour profile", async () => {
    const png = await sharp(rgb.data, raw).withIccProfile("p3").png().toBuffer();
    const stored = await sharp(png, { ignoreIcc: true }).raw().toBuffer();
    expect((await sharp(png).metadata()).icc).toBeDefined();
    expect((await decodeImage(png)).data).toEqual(new Uint8Array(stored));
  });

  test("reports CMYK, or refuses it", async () => {
    const jpeg = await sharp(rgb.data, raw).toColourspace("cmyk").jpeg().toBuffer();
    const image = await decodeImage(jpeg);
    expect(image.warnings).toEqual(["unusual_mode"]);
    expect(image.data.length).toBe(1800);
    await expect(decodeImage(jpeg, { cmyk: "error" })).rejects.toMatchObject({ code: "unsupported_mode" });
  });

  test("names a missing, a corrupt and a truncated file", async () => {
    const missing = join(dir, "none.jpg");
    await expect(decodeImage(missing)).rejects.toMatchObject({ code: "decode_failed", source: missing });
    const corrupt = join(dir, "corrupt.jpg");
    await writeFile(corrupt, "this is no picture");
    await expect(decodeImage(corrupt)).rejects.toMatchObject({ code: "decode_failed", source: corrupt });
    const big = syn(300, 200);
    for (const format of ["jpeg", "png"] as const) {
      const whole = await sharp(big.data, { raw: { width: 300, height: 200, channels: 3 } })
        .toFormat(format)
        .toBuffer();
      const truncated = join(dir, `truncated.${format}`);
      await writeFile(truncated, whole.subarray(0, Math.floor(whole.length / 2)));
      await expect(decodeImage(truncated)).rejects.toMatchObject({
        code: "decode_failed",
        source: truncated,
        message: expect.stringContaining(truncated),
      });
    }
    const partial = await decodeImage(join(dir, "truncated.jpeg"), { allowTruncated: true });
    expect(partial.warnings).toContain("truncated");
    expect(partial.data.length).toBe(300 * 200 * 3);
  });

  test("refuses pictures over the pixel limit before decoding", async () => {
    const png = await sharp(rgb.data, raw).png().toBuffer();
    await expect(decodeImage(png, { maxPixels: 599 })).rejects.toMatchObject({ code: "too_large" });
  });
});

describe("orientation", () => {
  const image = {
    width: 3,
    height: 2,
    data: Uint8Array.from({ length: 18 }, (_, i) => Math.floor(i / 3) * 10 + (i % 3)),
  };
  const all: Orientation[] = [1, 2, 3, 4, 5, 6, 7, 8];
  test.each(all)("%i moves each pixel as the table of the specification says", (orientation) => {
    const out = orientImage(image, orientation);
    expect([out.width, out.height]).toEqual(swapsSides(orientation) ? [2, 3] : [3, 2]);
    for (let y = 0; y < 2; y++) {
      for (let x = 0; x < 3; x++) {
        const [u, v] = orientPoint([x + 0.5, y + 0.5], orientation, 3, 2);
        const p = (Math.floor(v) * out.width + Math.floor(u)) * 3;
        expect([...out.data.subarray(p, p + 3)]).toEqual([
          ...image.data.subarray((y * 3 + x) * 3, (y * 3 + x) * 3 + 3),
        ]);
      }
    }
  });
  test.each(all)("%i agrees with sharp's own rotation and with every policy", async (orientation) => {
    const file = await sharp(rgb.data, raw).withMetadata({ orientation }).png().toBuffer();
    const upright = new Uint8Array(await sharp(file).autoOrient().raw().toBuffer());
    const applied = await decodeImage(file, { orientation: "apply" });
    expect(applied.data).toEqual(upright);
    expect(applied).toMatchObject({ rawWidth: 30, rawHeight: 20, orientation, orientationApplied: orientation !== 1 });
    const ignored = await decodeImage(file, { orientation: "ignore" });
    expect(ignored.data).toEqual(rgb.data);
    expect(ignored.orientationApplied).toBe(false);

    const swapped = swapsSides(orientation);
    const byRaw = await decodeImage(file, { expectedSize: { width: 30, height: 20 } });
    expect(byRaw.orientationApplied).toBe(!swapped && orientation !== 1);
    expect(byRaw.warnings).toEqual(!swapped && orientation !== 1 ? ["exif_ambiguous"] : []);
    if (swapped) {
      const byOriented = await decodeImage(file, { expectedSize: { width: 20, height: 30 } });
      expect(byOriented.data).toEqual(upright);
    }
    await expect(decodeImage(file, { expectedSize: { width: 31, height: 20 } })).rejects.toMatchObject({
      code: "size_mismatch",
    });
  });
  test("the dataset decides a square picture", async () => {
    const square = syn(16, 16);
    const file = await sharp(square.data, { raw: { width: 16, height: 16, channels: 3 } })
      .withMetadata({ orientation: 6 })
      .png()
      .toBuffer();
    const expectedSize = { width: 16, height: 16 };
    expect((await decodeImage(file, { expectedSize })).warnings).toEqual(["exif_ambiguous"]);
    const ignored = await decodeImage(file, { expectedSize, datasetOrientation: "ignore" });
    expect(ignored.data).toEqual(square.data);
    expect(ignored.warnings).toEqual([]);
  });
});

describe.skipIf(!existsSync(join(PROCESSORS, "expected.json")))("recorded pixels of Pillow 12.3", () => {
  test("every stored picture decodes to the same bytes", async () => {
    const { images } = JSON.parse(await readFile(join(PROCESSORS, "expected.json"), "utf8")) as {
      images: Record<string, { rgb_hw: [number, number]; rgb_sha256: string }>;
    };
    for (const [name, { rgb_hw, rgb_sha256 }] of Object.entries(images)) {
      const image = await decodeImage(join(PROCESSORS, "images", name));
      expect([image.height, image.width], name).toEqual(rgb_hw);
      expect(sha256(image.data), name).toBe(rgb_sha256);
    }
  });
});
