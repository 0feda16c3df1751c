import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import sharp from "sharp";
import { afterAll, describe, expect, test } from "vitest";
import { grayImage, makeFolder, removeFolders } from "../../test/make-folder.js";
import { SegError } from "../errors.js";
import { mask } from "../mask/index.js";
import { segmentationToRle } from "../segmentation.js";
import { detectFormat, topLevelKeys } from "./detect-format.js";
import { decodeRowMajor } from "./import-cvat.js";
import { importDataset } from "./import-dataset.js";
import { parseXml } from "./xml-tree.js";

afterAll(removeFolders);

const COCO = { images: [], categories: [], annotations: [] };

describe("detectFormat", () => {
  test.each([
    ["coco", { "x.json": JSON.stringify({ info: { description: "shapes" }, ...COCO }) }],
    ["coco", { "x.json.gz": gzipSync(JSON.stringify(COCO)) }],
    ["labelme", { "x.json": JSON.stringify({ version: "5", shapes: [] }) }],
    ["labelme", { "x.json": JSON.stringify({ imageData: "A".repeat(100_000), shapes: [] }) }],
    ["voc", { "Annotations/x.xml": '<?xml version="1.0"?><!-- a --><annotation></annotation>' }],
    ["cvat", { "annotations.xml": "<annotations><image/></annotations>" }],
    ["yolo", { "data.yaml": "train: images\nnames: [a]\n" }],
    ["yolo", { "a.jpg": "", "a.txt": "0 .5 .5 .1 .1\n" }],
    ["imagefolder", { "train/metadata.jsonl": "{}" }],
  ])("%s by content", async (format, files) => {
    expect((await detectFormat(await makeFolder(files as Record<string, string>))).format).toBe(format);
  });

  test.each([
    ["unknown", {}],
    ["unknown", { "readme.md": "# 0", "a.jpg": "", "a.txt": "words only" }],
    ["unknown", { "package.json": '{"name": "x"}', "other.xml": "<svg></svg>" }],
    ["ambiguous", { "a.json": JSON.stringify(COCO), "b.json": JSON.stringify(COCO) }],
    ["ambiguous", { "a.json": JSON.stringify(COCO), "a.xml": "<annotation></annotation>" }],
  ])("%s content is refused", async (reason, files) => {
    const folder = await makeFolder(files as Record<string, string>);
    await expect(detectFormat(folder)).rejects.toMatchObject({ code: "coco/format", reason, file: folder });
  });

  test.each([
    ["unknown", "labels.txt", "0 0.5 0.5 0.1 0.1\n"],
    ["unknown", "results.json", "[]"],
    ["unknown", "photo.jpg", "x"],
    ["unsupported", "export.zip", "PK\u0003\u0004"],
  ])("%s: the file %s", async (reason, name, content) => {
    const folder = await makeFolder({ [name]: content });
    await expect(detectFormat(join(folder, name))).rejects.toMatchObject({ code: "coco/format", reason });
  });
});

test("a path that is not there", async () => {
  await expect(detectFormat("/nowhere")).rejects.toMatchObject({ code: "coco/file-not-found", file: "/nowhere" });
});

describe("topLevelKeys", () => {
  test("equals the keys of JSON.parse, and never throws on a cut text", () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string(),
          fc.json().map((text) => JSON.parse(text) as unknown),
        ),
        fc.nat(),
        (value, cut) => {
          const text = JSON.stringify(value);
          const keys = new Set(Object.keys(value).map((key) => JSON.stringify(key).slice(1, -1)));
          expect(topLevelKeys(text)).toEqual(keys);
          for (const key of topLevelKeys(text.slice(0, cut % (text.length + 1)))) expect(keys).toContain(key);
        },
      ),
    );
  });
});

describe("parseXml", () => {
  test("attributes, text, CDATA, predefined entities and lines", () => {
    const root = parseXml('<a x="1 &lt; 2">\n<b>R&amp;D <![CDATA[<raw>]]></b><b/></a>');
    expect(root).toMatchObject({
      name: "a",
      attributes: { x: "1 < 2" },
      children: [{ text: "R&D <raw>", line: 2 }, { text: "" }],
    });
  });

  test.each([
    ["a document type", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"],
    ["an external entity", '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "document type"],
    ["an undeclared entity", "<a>&b;</a>", "entity"],
    ["a tag that is not closed", "<a><b></a>", "Unexpected close tag"],
    ["nothing", "", "no element"],
    ["two roots", "<a/><b/>", "second root"],
    ["endless nesting", "<a>".repeat(100_000), "deeper than 64"],
  ])("refuses %s", (_, text, message) => {
    expect(() => parseXml(text)).toThrow(message);
  });
});

const voc = (objects: string, { database = "Unknown", size = "<width>10</width><height>8</height>" } = {}) =>
  `<annotation><filename>a.jpg</filename><source><database>${database}</database></source><size>${size}</size>${objects}</annotation>`;
const vocObject = (name: string, [x1, y1, x2, y2]: number[], more = "") =>
  `<object><name>${name}</name>${more}<bndbox><xmin>${x1}</xmin><ymin>${y1}</ymin><xmax>${x2}</xmax><ymax>${y2}</ymax></bndbox></object>`;

describe("Pascal VOC", () => {
  test("boxes, names with spaces and entities, difficult is no crowd, image sets are splits", async () => {
    const folder = await makeFolder({
      "Annotations/a.xml": voc(
        vocObject("traffic light", [1, 2, 4, 6], "<difficult>1</difficult>") + vocObject("a&amp;b", [0, 0, 10, 8]),
      ),
      "Annotations/b.xml": voc("").replace("a.jpg", "b"),
      "JPEGImages/a.jpg": "",
      "JPEGImages/b.jpg": "",
      "ImageSets/Main/train.txt": "b\n",
      "ImageSets/Main/val.txt": "a 1\n",
    });
    const { dataset, format, imagesDir, splits } = await importDataset(folder);
    expect(format).toBe("voc");
    expect(imagesDir).toBe(join(folder, "JPEGImages"));
    expect(splits).toEqual({ train: [2], val: [1] });
    expect(dataset.categories).toEqual([
      { id: 1, name: "a&b" },
      { id: 2, name: "traffic light" },
    ]);
    expect(dataset.images.map(({ file_name }) => file_name)).toEqual(["a.jpg", "b.jpg"]);
    expect(dataset.annotations).toEqual([
      { id: 1, image_id: 1, category_id: 2, bbox: [1, 2, 3, 4], iscrowd: 0, difficult: 1 },
      { id: 2, image_id: 1, category_id: 1, bbox: [0, 0, 10, 8], iscrowd: 0 },
    ]);
  });

  test("official files count from 1 and include the last pixel; a 0 or the option says otherwise", async () => {
    const official = { database: "The VOC2007 Database" };
    const read = async (corners: number[], options = {}) => {
      const folder = await makeFolder({ "a.xml": voc(vocObject("x", corners), official), "a.jpg": "" });
      return (await importDataset(folder, options)).dataset.annotations[0]!.bbox;
    };
    expect(await read([1, 1, 10, 8])).toEqual([0, 0, 10, 8]);
    expect(await read([0, 1, 10, 8])).toEqual([0, 1, 10, 7]);
    expect(await read([1, 1, 10, 8], { oneBased: false })).toEqual([1, 1, 9, 7]);
  });

  test("a polygon stays a mask", async () => {
    const outline = "<polygon><x1>0</x1><y1>0</y1><x2>4</x2><y2>0</y2><x3>4</x3><y3>4</y3></polygon>";
    const folder = await makeFolder({ "a.xml": voc(vocObject("x", [0, 0, 4, 4], outline)) });
    const { dataset, imagesDir } = await importDataset(folder);
    expect(dataset.annotations[0]!.segmentation).toEqual([[0, 0, 4, 0, 4, 4]]);
    expect(imagesDir).toBeNull();
  });

  test("every bad place is named with its file and line", async () => {
    const folder = await makeFolder({
      "1.xml": voc(`\n${vocObject("x", [5, 0, 4, 4])}`),
      "2.xml": voc(vocObject("x", [0, 0, 4, 4]).replace("<xmax>4</xmax>", "<xmax>four</xmax>")),
      "3.xml": voc("<object><bndbox/></object><object><name>y</name></object>"),
      "4.xml": "<annotation><size></annotation>",
    });
    await expect(importDataset(folder)).rejects.toMatchObject({
      code: "coco/import",
      count: 5,
      issues: [
        { file: "1.xml", line: 2, message: expect.stringContaining("x 5 to 4") },
        { file: "2.xml", line: 1, message: expect.stringContaining('"four", expected a number') },
        { file: "3.xml", line: 1, message: expect.stringContaining("no <name>") },
        { file: "3.xml", line: 1, message: expect.stringContaining("no <bndbox>") },
        { file: "4.xml", line: 1, message: expect.stringContaining("is not XML") },
      ],
    });
  });

  test("a size that is not stated comes from the picture, upright, or is an issue", async () => {
    const turned = await sharp({ create: { width: 8, height: 10, channels: 3, background: "#888" } })
      .jpeg()
      .withMetadata({ orientation: 6 })
      .toBuffer();
    const files = { "a.xml": voc("", { size: "" }) };
    const { dataset } = await importDataset(await makeFolder({ ...files, "a.jpg": turned }));
    expect(dataset.images[0]).toMatchObject({ width: 10, height: 8 });
    await expect(importDataset(await makeFolder(files))).rejects.toMatchObject({ code: "coco/import" });
  });

  test("two pictures of one name are an issue, not a guess", async () => {
    const folder = await makeFolder({ "xml/a.xml": voc(""), "1/a.jpg": "", "2/a.jpg": "" });
    await expect(importDataset(folder)).rejects.toThrow("there are several: 1/a.jpg, 2/a.jpg");
  });

  test("a name cannot lead out of the folder", async () => {
    const folder = await makeFolder({ "data/a.xml": voc("").replace("a.jpg", "../secret.jpg"), "secret.jpg": "" });
    const { dataset, imagesDir } = await importDataset(join(folder, "data"));
    expect([dataset.images[0]!.file_name, imagesDir]).toEqual(["secret.jpg", null]);
  });

  describe("mask pictures", () => {
    // Two objects with the outline 255 between them, as in the official files.
    const pixels = Uint8Array.from({ length: 80 }, (_, i) => [0, 1, 1, 255, 2, 2, 2, 0, 0, 0][i % 10]!);
    const segmented = (xml: string) => xml.replace("<object>", "<segmented>1</segmented><object>");
    const objects = vocObject("cat", [0, 0, 4, 8]) + vocObject("dog", [3, 0, 8, 8]);
    const gray = async (data: Uint8Array, width = 10, height = 8) =>
      new Uint8Array(
        await sharp(data, { raw: { width, height, channels: 1 } })
          .toColourspace("b-w")
          .png()
          .toBuffer(),
      );

    test("SegmentationObject gives the pixels of each object; a mask is never taken for a photograph", async () => {
      const folder = await makeFolder({
        "Annotations/a.xml": segmented(voc(objects)),
        "SegmentationObject/a.png": await gray(pixels),
        "SegmentationClass/a.png": "",
      });
      for (const path of [folder, join(folder, "Annotations")]) {
        const { dataset, imagesDir, findings } = await importDataset(path);
        const masks = dataset.annotations.map(({ segmentation }) =>
          mask.decode(segmentationToRle(segmentation!, 8, 10)),
        );
        expect(masks[0]).toEqual(Uint8Array.from({ length: 80 }, (_, i) => (pixels[i] === 1 ? 1 : 0)));
        expect(masks[1]).toEqual(Uint8Array.from({ length: 80 }, (_, i) => (pixels[i] === 2 ? 1 : 0)));
        expect({ imagesDir, findings }).toEqual({ imagesDir: null, findings: [] });
      }
    });

    test("numbers in another order than the objects, and missing pictures, leave the boxes and say so", async () => {
      const swapped = pixels.map((value) => (value === 1 ? 2 : value === 2 ? 1 : value));
      const other = await makeFolder({
        "Annotations/a.xml": voc(objects),
        "SegmentationObject/a.png": await gray(swapped),
      });
      const { dataset, findings } = await importDataset(other);
      expect(dataset.annotations.map(({ segmentation }) => segmentation)).toEqual([undefined, undefined]);
      expect(findings).toMatchObject([{ code: "voc_mask_elsewhere", count: 2 }]);
      const none = await importDataset(await makeFolder({ "Annotations/a.xml": segmented(voc(objects)) }));
      expect(none.findings).toMatchObject([{ code: "voc_masks_missing", severity: "warn", count: 1 }]);
    });

    test.each([
      ["is no PNG", async () => new Uint8Array(64)],
      ["holds colours", () => grayImage(10, 8)],
      ["has 5 x 16 pixels", () => gray(pixels, 5, 16)],
      ["cannot be unpacked", async () => (await gray(pixels)).subarray(0, 60)],
    ])("a picture that %s is named", async (message, picture) => {
      const folder = await makeFolder({
        "Annotations/a.xml": voc(objects),
        "SegmentationObject/a.png": await picture(),
      });
      await expect(importDataset(folder)).rejects.toMatchObject({
        code: "coco/import",
        issues: [{ file: "SegmentationObject/a.png", message: expect.stringContaining(message) as string }],
      });
    });
  });
});

describe("LabelMe", () => {
  const document = (shapes: object[], more = {}) =>
    JSON.stringify({
      version: "5.5",
      imagePath: "a.png",
      imageData: null,
      imageWidth: 20,
      imageHeight: 16,
      shapes,
      ...more,
    });

  test("polygons, rectangles as boxes, groups as parts, unequal groups apart", async () => {
    const square = (x: number) => [
      [x, 0],
      [x + 2, 0],
      [x + 2, 2],
      [x, 2],
    ];
    const folder = await makeFolder({
      "a.json": document([
        { label: "bag", points: square(0), shape_type: "polygon", group_id: 3, flags: { wet: true } },
        { label: "bag", points: square(6), shape_type: "polygon", group_id: 3 },
        { label: "ear", points: square(9), shape_type: "polygon", group_id: 3 },
        {
          label: "label",
          points: [
            [8, 9],
            [3, 4],
          ],
          shape_type: "rectangle",
          group_id: null,
        },
      ]),
      "a.png": await grayImage(20, 16),
    });
    const { dataset, format } = await importDataset(folder);
    expect(format).toBe("labelme");
    expect(dataset.categories.map(({ name }) => name)).toEqual(["bag", "ear", "label"]);
    expect(dataset.annotations).toEqual([
      {
        id: 1,
        image_id: 1,
        category_id: 1,
        iscrowd: 0,
        segmentation: [square(0).flat(), square(6).flat()],
        flags: { wet: true },
      },
      { id: 2, image_id: 1, category_id: 2, iscrowd: 0, segmentation: [square(9).flat()] },
      { id: 3, image_id: 1, category_id: 3, iscrowd: 0, bbox: [3, 4, 5, 5] },
    ]);
  });

  test("a mask keeps every pixel, its holes too, and joins polygons of its group", async () => {
    const pixels = Uint8Array.from([1, 1, 1, 1, 0, 1, 1, 1, 1].map((v) => v * 255));
    const png = await sharp(pixels, { raw: { width: 3, height: 3, channels: 1 } })
      .png()
      .toBuffer();
    const shape = {
      label: "ring",
      points: [
        [4, 5],
        [6, 7],
      ],
      shape_type: "mask",
      mask: png.toString("base64"),
      group_id: 1,
    };
    const block = {
      label: "ring",
      points: [
        [10, 10],
        [12, 10],
        [12, 12],
        [10, 12],
      ],
      group_id: 1,
    };
    const { dataset } = await importDataset(await makeFolder({ "a.json": document([shape, block]) }));
    const decoded = mask.decode(segmentationToRle(dataset.annotations[0]!.segmentation!, 16, 20));
    const expected = new Uint8Array(16 * 20);
    for (let y = 0; y < 3; y++) for (let x = 0; x < 3; x++) expected[(5 + y) * 20 + 4 + x] = x === 1 && y === 1 ? 0 : 1;
    for (const [x, y] of [
      [10, 10],
      [11, 10],
      [10, 11],
      [11, 11],
    ] as const)
      expected[y * 20 + x] = 1;
    expect(decoded).toEqual(expected);
  });

  test("a circle covers the pixels whose centres lie in it", async () => {
    const circle = {
      label: "o",
      points: [
        [100, 90],
        [150.5, 90],
      ],
      shape_type: "circle",
    };
    const folder = await makeFolder({ "a.json": document([circle], { imageWidth: 200, imageHeight: 180 }) });
    const { dataset } = await importDataset(folder);
    const found = mask.decode(segmentationToRle(dataset.annotations[0]!.segmentation!, 180, 200));
    let [both, either] = [0, 0];
    for (let y = 0; y < 180; y++) {
      for (let x = 0; x < 200; x++) {
        const isInside = Math.hypot(x + 0.5 - 100, y + 0.5 - 90) < 50.5;
        const isFound = found[y * 200 + x] === 1;
        if (isInside && isFound) both++;
        if (isInside || isFound) either++;
      }
    }
    // The rasteriser's own grid of 1/5 px moves the border; measured .9925.
    expect(both / either).toBeGreaterThan(0.99);
  });

  test("shapes without area are left out by name; bad ones are issues", async () => {
    const line = {
      label: "l",
      points: [
        [0, 0],
        [1, 1],
      ],
      shape_type: "line",
    };
    const { dataset, findings } = await importDataset(await makeFolder({ "a.json": document([line, line]) }));
    expect(dataset.annotations).toEqual([]);
    expect(findings).toMatchObject([{ code: "shape_without_area", severity: "warn", count: 2, files: ["a.json"] }]);

    const bad = [
      { label: "p", points: [[0, 0]], shape_type: "polygon" },
      { label: "", points: [] },
      { label: "x", points: [[0, null]] },
      { label: "s", points: [], shape_type: "star" },
      {
        label: "m",
        points: [
          [18, 0],
          [30, 9],
        ],
        shape_type: "mask",
        mask: "bm90IGEgcG5n",
      },
    ];
    await expect(importDataset(await makeFolder({ "a.json": document(bad.slice(0, 4)) }))).rejects.toMatchObject({
      count: 4,
    });
    await expect(importDataset(await makeFolder({ "a.json": document(bad.slice(4)) }))).rejects.toThrow("no picture");
    await expect(importDataset(await makeFolder({ "a.json": '{"shapes": [' }))).rejects.toThrow("cut off");
  });
});

const cvat = (image: string, labels = "<label><name>cat</name></label><label><name>dog</name></label>") =>
  `<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><labels>${labels}</labels></task></meta>
<image id="0" name="sub/a.png" subset="Train" width="10" height="8">${image}</image></annotations>`;

describe("CVAT", () => {
  const read = async (image: string) => importDataset(await makeFolder({ "annotations.xml": cvat(image) }));

  test("boxes, polygons, attributes, groups; labels in the order of the task", async () => {
    const { dataset, format, splits } = await read(
      `<box label="dog" occluded="1" xtl="1.5" ytl="2" xbr="4" ybr="6.5"><attribute name="age">old</attribute></box>
       <polygon label="cat" points="0,0;2,0;2,2" group_id="4"/><polygon label="cat" points="5,5;7,5;7,7" group_id="4"/>`,
    );
    expect(format).toBe("cvat");
    expect(splits).toEqual({ train: [1] });
    expect(dataset.categories).toEqual([
      { id: 1, name: "cat" },
      { id: 2, name: "dog" },
    ]);
    expect(dataset.annotations).toEqual([
      {
        id: 1,
        image_id: 1,
        category_id: 2,
        bbox: [1.5, 2, 2.5, 4.5],
        iscrowd: 0,
        occluded: 1,
        attributes: { age: "old" },
      },
      {
        id: 2,
        image_id: 1,
        category_id: 1,
        iscrowd: 0,
        segmentation: [
          [0, 0, 2, 0, 2, 2],
          [5, 5, 7, 5, 7, 7],
        ],
      },
    ]);
  });

  test("pictures of one name in several folders are told apart by their path", async () => {
    const element = (name: string) => `<image name="${name}" width="10" height="8"></image>`;
    const folder = await makeFolder({
      "annotations.xml": `<annotations>${element("1/a.png")}${element("2/a.png")}</annotations>`,
      "images/1/a.png": "",
      "images/2/a.png": "",
    });
    const { dataset, imagesDir } = await importDataset(folder);
    expect(dataset.images.map(({ file_name }) => file_name)).toEqual(["1/a.png", "2/a.png"]);
    expect(imagesDir).toBe(join(folder, "images"));
  });

  test("a mask is row-major inside its crop and keeps its hole", async () => {
    // ###
    // #.#   at (4, 2)
    const { dataset } = await read('<mask label="cat" rle="0, 4, 1, 1" left="4" top="2" width="3" height="2"/>');
    const rle = segmentationToRle(dataset.annotations[0]!.segmentation!, 8, 10);
    const pixels = mask.decode(rle);
    const on = [...pixels.keys()].filter((i) => pixels[i] === 1).map((i) => [i % 10, Math.floor(i / 10)]);
    expect(on).toEqual([
      [4, 2],
      [5, 2],
      [6, 2],
      [4, 3],
      [6, 3],
    ]);
  });

  test("decodeRowMajor restores any crop", () => {
    const input = fc.tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 })).chain(([w, h]) =>
      fc.record({
        w: fc.constant(w),
        h: fc.constant(h),
        bits: fc.array(fc.boolean(), { minLength: w * h, maxLength: w * h }),
        left: fc.nat(3),
        top: fc.nat(3),
      }),
    );
    fc.assert(
      fc.property(input, ({ w, h, bits, left, top }) => {
        const runs: number[] = [0];
        let current = false;
        for (const bit of bits) {
          if (bit !== current) runs.push(0);
          current = bit;
          runs[runs.length - 1]!++;
        }
        const rle = decodeRowMajor(runs.join(", "), [left, top, w, h], 10, 10);
        if (typeof rle === "string") throw new Error(rle);
        const pixels = mask.decode(rle);
        const crop = bits.map((_, i) => pixels[(top + Math.floor(i / w)) * 10 + left + (i % w)] === 1);
        expect(crop).toEqual(bits);
        expect(mask.area(rle)).toBe(bits.filter(Boolean).length);
      }),
    );
  });

  test("a turned box becomes the box around it, with a finding", async () => {
    const { dataset, findings } = await read('<box label="cat" xtl="2" ytl="3" xbr="6" ybr="5" rotation="90"/>');
    const [x, y, w, h] = dataset.annotations[0]!.bbox!;
    expect([x, y, w, h].map((v) => Math.round(v! * 1e9) / 1e9)).toEqual([3, 2, 2, 4]);
    expect(dataset.annotations[0]).toMatchObject({ rotation: 90 });
    expect(findings).toMatchObject([{ code: "box_rotated", count: 1 }]);
  });

  test.each([
    ['<mask label="cat" rle="0,4" left="4" top="2" width="3" height="2"/>', "sum to 4, expected width * height = 6"],
    ['<mask label="cat" rle="0,6" left="8" top="2" width="3" height="2"/>', "outside the 10 x 8 image"],
    ['<mask label="cat" rle="0,x" left="4" top="2" width="3" height="2"/>', "not a list of whole numbers"],
    ['<box label="cat" xtl="a" ytl="2" xbr="4" ybr="6"/>', 'xtl="a"'],
    ['<box xtl="1" ytl="2" xbr="4" ybr="6"/>', "no label"],
    ['<polygon label="cat" points="0,0;1,1"/>', "at least 3 points"],
    ['<blob label="cat"/>', "<blob> is not known"],
  ])("%s is an issue with its line", async (image, message) => {
    await expect(read(image)).rejects.toMatchObject({
      code: "coco/import",
      issues: [{ file: "annotations.xml", line: 3, message: expect.stringContaining(message) }],
    });
  });

  test("video tracks become one picture per frame; frames without shapes are pictures without objects", async () => {
    const box = (frame: number, x: number, more = "") =>
      `<box frame="${frame}" xtl="${x}" ytl="1" xbr="${x + 2}" ybr="3" outside="0" occluded="0" ${more}/>`;
    const folder = await makeFolder({
      "annotations.xml": `<annotations><meta><task><labels><label><name>cat</name></label></labels>
        <original_size><width>10</width><height>8</height></original_size></task></meta>
        <track id="7" label="cat">${box(2, 1)}${box(3, 2)}${box(4, 3).replace('outside="0"', 'outside="1"')}</track>
        <track id="8" label="cat">${box(3, 6)}</track></annotations>`,
      "images/frame_000003.PNG": "",
      "images/frame_000005.PNG": "",
    });
    const { dataset } = await importDataset(folder);
    expect(dataset.images).toEqual([
      { id: 1, width: 10, height: 8, file_name: "frame_000002.PNG" },
      { id: 2, width: 10, height: 8, file_name: "frame_000003.PNG" },
      { id: 3, width: 10, height: 8, file_name: "frame_000005.PNG" },
    ]);
    expect(dataset.annotations.map(({ image_id, bbox, track_id }) => ({ image_id, bbox, track_id }))).toEqual([
      { image_id: 1, bbox: [1, 1, 2, 2], track_id: 7 },
      { image_id: 2, bbox: [2, 1, 2, 2], track_id: 7 },
      { image_id: 2, bbox: [6, 1, 2, 2], track_id: 8 },
    ]);
  });

  test("points are left out by name", async () => {
    const { findings } = await read('<points label="cat" points="1,1"/><tag label="cat"/>');
    expect(findings.map(({ code, count }) => [code, count])).toEqual([
      ["shape_without_area", 1],
      ["shape_without_area", 1],
    ]);
  });
});

describe("COCO, LVIS and image folders", () => {
  test("LVIS is recognised, file names come from coco_url, the dummy category goes on request", async () => {
    const document = {
      images: [{ id: 1, width: 4, height: 4, coco_url: "http://x/train2017/0001.jpg", neg_category_ids: [] }],
      categories: [
        { id: 0, name: "none", supercategory: "none" },
        { id: 3, name: "zebra", frequency: "r", synset: "zebra.n.01" },
      ],
      annotations: [{ id: 1, image_id: 1, category_id: 3, bbox: [0, 0, 2, 2] }],
    };
    const folder = await makeFolder({ "lvis.json": JSON.stringify(document) });
    const { dataset, format } = await importDataset(folder);
    expect([format, dataset.images[0]!.file_name, dataset.categories.length]).toEqual(["lvis", "0001.jpg", 2]);
    const { dataset: dropped } = await importDataset(folder, { dropDummyCategory: true });
    expect(dropped.categories.map(({ id }) => id)).toEqual([3]);
  });

  test("image folders: names or numbers, splits by folder", async () => {
    const folder = await makeFolder({
      "train/metadata.jsonl":
        '{"file_name": "a.png", "objects": {"bbox": [[0, 1, 2, 3]], "categories": [2], "area": [5]}}\n',
      "train/a.png": await grayImage(6, 5),
    });
    const { dataset, splits, imagesDir } = await importDataset(folder);
    expect(dataset.categories.map(({ id, name }) => [id, name])).toEqual([
      [0, "class_0"],
      [1, "class_1"],
      [2, "class_2"],
    ]);
    expect(dataset.annotations).toEqual([
      { id: 1, image_id: 1, category_id: 2, bbox: [0, 1, 2, 3], iscrowd: 0, area: 5 },
    ]);
    expect([splits, imagesDir]).toEqual([{ train: [1] }, join(folder, "train")]);
    const bad = await makeFolder({
      "metadata.jsonl": '{"file_name": "a.png", "objects": {"bbox": [[0, 1]], "categories": [2]}}\n{',
    });
    await expect(importDataset(bad)).rejects.toMatchObject({ issues: [{ line: 1 }, { line: 2 }] });
  });
});

describe("damaged files", () => {
  const sound: Record<string, string> = {
    "voc.xml": voc(vocObject("traffic light", [1, 2, 4, 6])),
    "cvat.xml": cvat(
      '<mask label="cat" rle="0, 4, 1, 1" left="4" top="2" width="3" height="2"/><box label="dog" xtl="1" ytl="2" xbr="4" ybr="6"/>',
    ),
    "labelme.json": JSON.stringify({
      imageWidth: 20,
      imageHeight: 16,
      shapes: [
        {
          label: "a",
          points: [
            [0, 0],
            [4, 0],
            [4, 4],
          ],
          group_id: 1,
        },
        {
          label: "m",
          points: [
            [0, 0],
            [1, 1],
          ],
          shape_type: "mask",
          mask: "iVBORw0KGgo=",
        },
      ],
    }),
    "data.yaml": "path: .\ntrain: images\nnames: {0: a, 1: b}\nkpt_shape: [2, 3]\n",
    "metadata.jsonl": '{"file_name": "a.png", "objects": {"bbox": [[0, 1, 2, 3]], "categories": [2]}}',
    "coco.json": JSON.stringify({ ...COCO, images: [{ id: 1, width: 2, height: 2, file_name: "a" }] }),
  };

  test.each(Object.keys(sound))(
    "%s with edits is read or refused with a typed error, never anything else",
    async (name) => {
      const text = sound[name]!;
      const edit = fc.record({
        at: fc.nat(text.length),
        cut: fc.nat(12),
        put: fc.oneof(
          fc.constantFrom("", "<", ">", "&x;", "]]>", "{", "]", '"', "-1", "1e999", "null", ": &a *a", "\u0000"),
          fc.string(),
        ),
      });
      const folder = await makeFolder({ "images/a.png": await grayImage(20, 16) });
      await fc.assert(
        fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
          let damaged = text;
          for (const { at, cut, put } of edits) damaged = damaged.slice(0, at) + put + damaged.slice(at + cut);
          await writeFile(join(folder, name), damaged);
          try {
            const { dataset } = await importDataset(join(folder, name));
            for (const annotation of dataset.annotations) expect(Number.isInteger(annotation.category_id)).toBe(true);
          } catch (error) {
            if (!SegError.isInstance(error)) throw error;
          }
        }),
        { numRuns: 300 },
      );
    },
  );
});
