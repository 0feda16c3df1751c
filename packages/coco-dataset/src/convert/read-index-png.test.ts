import fc from "fast-check";
import sharp from "sharp";
import { expect, test } from "vitest";
import { readIndexPng } from "./read-index-png.js";

const indices = fc
  .record({
    width: fc.integer({ min: 1, max: 40 }),
    height: fc.integer({ min: 1, max: 20 }),
    levels: fc.integer({ min: 1, max: 60 }),
  })
  .chain(({ width, height, levels }) =>
    fc
      .array(fc.nat({ max: levels - 1 }), { minLength: width * height, maxLength: width * height })
      .map((values) => ({ width, height, data: Uint8Array.from(values) })),
  );

test("gray pictures come back as they were written, with every row filter", async () => {
  await fc.assert(
    fc.asyncProperty(indices, fc.boolean(), async ({ width, height, data }, adaptiveFiltering) => {
      const png = await sharp(data, { raw: { width, height, channels: 1 } })
        .toColourspace("b-w")
        .png({ adaptiveFiltering })
        .toBuffer();
      expect(readIndexPng(png)).toEqual({ width, height, data });
    }),
    { numRuns: 40 },
  );
});

test("a palette of few colours is packed into bits: equal numbers are equal colours", async () => {
  const colours = [
    [0, 0, 0],
    [128, 0, 0],
    [0, 128, 0],
  ];
  for (const used of [2, 3]) {
    const [width, height] = [13, 7];
    const values = Array.from({ length: width * height }, (_, i) => (i * 5) % used);
    const rgb = Uint8Array.from(values.flatMap((value) => colours[value]!));
    const png = await sharp(rgb, { raw: { width, height, channels: 3 } })
      .png({ palette: true, dither: 0 })
      .toBuffer();
    expect(png[25]).toBe(3);
    const read = readIndexPng(png);
    if (typeof read === "string") throw new Error(read);
    // The encoder numbers the colours as it likes: the partition of the pixels counts.
    const names = new Map(values.map((value, i) => [value, read.data[i]!]));
    expect(new Set(names.values()).size).toBe(used);
    expect([...read.data]).toEqual(values.map((value) => names.get(value)));
  }
});

test("bytes that were cut or changed never throw", async () => {
  const png = await sharp(new Uint8Array(60).fill(3), { raw: { width: 10, height: 6, channels: 1 } })
    .png()
    .toBuffer();
  fc.assert(
    fc.property(fc.nat({ max: png.length - 1 }), fc.nat({ max: 255 }), fc.nat({ max: png.length }), (at, byte, cut) => {
      const damaged = Uint8Array.from(png.subarray(0, cut));
      if (at < damaged.length) damaged[at] = byte;
      readIndexPng(damaged);
    }),
  );
});
