import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { temporaryDirectory } from "../../test/databases.js";
import { openRegistry } from "../../test/open-registry.js";
import { openDatabase } from "../sql/open-database.js";

const directory = temporaryDirectory();
const headOf = (text: string) => parse(text.split("---\n")[1]!) as Record<string, unknown>;

test("a version's README tells files, metrics, data, lineage and the parents' licences; a rewritten one keeps what people added", async () => {
  const root = directory.path;
  const sql = await openDatabase(join(root, "registry.sqlite"));
  const { registry } = openRegistry({ sql, root });
  const { version } = await registry.register({
    files: [{ path: "weights/student.onnx", content: Buffer.from("hello\n") }],
    metrics: { map50: 0.9, mask_iou: 0.8, loss: 0.1, training_samples: 60, training_time: 12.34 },
    metric_definition_id: "coco-1",
    dataset: { id: "bags+night", fingerprint: "f".repeat(64), split_hash: "s" },
    parents: { teacher: "yolov8n" },
    params: { retrain: { trainer: "student" } },
    description: "Night shift.",
    tags: ["night"],
    created_by: "ana",
  });
  const path = join(root, "versions", version, "README.md");
  const card = await readFile(path, "utf8");
  expect(headOf(card)).toEqual({
    tags: ["student", "night"],
    datasets: ["bags", "night"],
    metrics: ["loss", "map50", "mask_iou"],
    pipeline_tag: "image-segmentation",
    "model-index": [
      {
        name: `default ${version}`,
        results: [
          {
            task: { type: "image-segmentation" },
            dataset: { type: "other", name: "bags+night" },
            metrics: [
              { type: "loss", value: 0.1 },
              { type: "map50", value: 0.9 },
              { type: "mask_iou", value: 0.8 },
            ],
          },
        ],
      },
    ],
  });
  expect(card).toContain(
    "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03 | b1946ac92492d2347c6235b4d2611184",
  );
  for (const fact of [
    "Night shift.",
    "by ana",
    "- yolov8n (AGPL-3.0)",
    "- samples: 60",
    "- training time: 12.3 s",
    "fingerprint: fff",
  ])
    expect(card).toContain(fact);

  const edited = card
    .replace("---\n", "---\nlanguage: de\n")
    .replace("<!-- user:begin -->\n", "<!-- user:begin -->\nUse at dusk.\n");
  await writeFile(path, edited);
  await rm(join(root, "versions", version, "metadata.json"));
  await registry.repair();
  const again = await readFile(path, "utf8");
  expect(again).toContain("Use at dusk.");
  expect(headOf(again)).toMatchObject({ language: "de", datasets: ["bags", "night"] });
  await sql.close();
});
