import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CocoAnnotation, CocoDataset } from "../document.js";
import { fixDataset } from "./fix-dataset.js";
import { validateDataset } from "./validate-dataset.js";

const side = fc.integer({ min: -10, max: 60 });
const box = fc.tuple(side, side, fc.integer({ min: -5, max: 40 }), fc.integer({ min: -5, max: 40 }));
const polygon = fc.array(side, { minLength: 6, maxLength: 10 }).map((part) => part.slice(0, part.length & ~1));
const annotations = fc.array(
  fc.record(
    {
      bbox: fc.oneof({ weight: 5, arbitrary: box }, fc.constant([1, 2, 3]), fc.constant(null)),
      segmentation: fc.oneof(
        { weight: 4, arbitrary: fc.array(polygon, { minLength: 1, maxLength: 3 }) },
        fc.constant([[1, 2, 3, 4]]),
        fc.constant({ size: [40, 50], counts: [100, 30, 1870] }),
        fc.constant({ size: [50, 40], counts: [2000] }),
        fc.constant({ size: [40, 50], counts: "~" }),
      ),
      area: fc.integer({ min: 0, max: 2000 }),
      iscrowd: fc.constantFrom(0, 0, 1),
      image_id: fc.constantFrom(1, 1, 2, 9),
    },
    { requiredKeys: ["image_id"] },
  ),
  { maxLength: 8 },
);

function dataset(list: readonly object[]): CocoDataset {
  return {
    images: [1, 2].map((id) => ({ id, width: 50, height: 40, file_name: `${id}.jpg` })),
    categories: [{ id: 1, name: "bolt" }],
    annotations: list.map((item, i) => ({ id: i + 1, category_id: 1, ...item }) as unknown as CocoAnnotation),
  };
}

describe("fixDataset, properties", () => {
  test("repeating the safe (or all) fixes ends with nothing left to fix; the input is left alone", async () => {
    await fc.assert(
      fc.asyncProperty(annotations, fc.boolean(), async (list, unsafe) => {
        const source = dataset(list);
        const before = structuredClone(source);
        let current = source;
        const isOpen = async () =>
          (await validateDataset(current)).report.findings.filter(
            ({ fix }) => fix !== undefined && (unsafe || fix.safe),
          );
        // A repair can show what it hid (a flipped box may leave the image), never the same thing for ever.
        let rounds = 0;
        for (let open = await isOpen(); open.length > 0 && rounds < 5; open = await isOpen(), rounds++) {
          current = fixDataset(current, { findings: open }, { unsafe }).dataset;
        }
        expect(rounds).toBeLessThan(5);
        expect(source).toEqual(before);
        expect(current.annotations.length).toBeLessThanOrEqual(source.annotations.length);
      }),
      { numRuns: 150 },
    );
  });

  test("the patch log restores every changed field", async () => {
    await fc.assert(
      fc.asyncProperty(annotations, async (list) => {
        const source = dataset(list);
        const { dataset: completed, report } = await validateDataset(source);
        const { dataset: fixed, patchLog } = fixDataset(source, report, { unsafe: true });
        const restored = new Map(
          fixed.annotations.map((annotation) => [annotation.id, { ...annotation } as Record<string, unknown>]),
        );
        for (const { id, field, before } of patchLog.toReversed()) {
          if (field === null) restored.set(id, { ...(before as object) } as Record<string, unknown>);
          else restored.get(id)![field] = before;
        }
        const ascending = [...restored.values()].sort((a, b) => (a["id"] as number) - (b["id"] as number));
        expect(ascending).toEqual(completed.annotations);
      }),
      { numRuns: 150 },
    );
  });
});
