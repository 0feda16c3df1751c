import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { catalogue } from "../catalogue/catalogue.js";
import { BUILT_IN_LAYERS } from "./built-in-layers.js";
import { parseLayers, readLayers } from "./layer-config.js";

test("every model of a built-in layer is in the catalogue and does tasks of its layer", () => {
  for (const { tasks, models } of BUILT_IN_LAYERS) {
    for (const model of models) {
      expect(catalogue.get(model.catalogue!).role).toBe("restoration");
      expect(tasks).toEqual(expect.arrayContaining([...model.tasks]));
    }
  }
  expect(BUILT_IN_LAYERS.map(({ layer, models }) => [layer, models.length])).toEqual([
    ["layer-1", 12],
    ["layer-2", 8],
  ]);
});

test("a layer is added by one entry, with its own kinds of model and settings, in numeric order", () => {
  const layers = parseLayers(`
layers:
  layer-10: { purpose: last, tasks: [tone] }
  layer-3:
    purpose: Super-resolution
    tasks: [super_resolution]
    models:
      - { name: sr_x2, architecture: sr, tasks: [super_resolution], source: "hf:owner/sr", settings: { tile: 256 } }
    architectures:
      sr: { scale: 2, tile: 128 }
`);
  expect(layers.map(({ layer }) => layer)).toEqual(["layer-1", "layer-2", "layer-3", "layer-10"]);
  expect(layers[2]).toMatchObject({
    models: [{ name: "sr_x2", settings: { tile: 256 } }],
    architectures: { sr: { scale: 2 } },
  });
});

test("an entry of the same name takes the place of the built-in layer", () => {
  const [first] = parseLayers("layers: { layer-1: { purpose: ours, tasks: [denoise] } }");
  expect(first).toEqual({ layer: "layer-1", purpose: "ours", tasks: ["denoise"], models: [], architectures: {} });
});

test.each([
  ["layers: { layer-0: { purpose: x, tasks: [a] } }", "layers are called layer-1"],
  ["layers: { layer-3: { purpose: x, tasks: [] } }", "layer-3.tasks"],
  ["layers: { layer-3: { purpose: x, tasks: [a], surprise: 1 } }", "surprise"],
  [
    "layers: { layer-3: { purpose: x, tasks: [a], models: [{ name: m, architecture: z, tasks: [b] }] } }",
    '"b" is none of the layer\'s tasks',
  ],
  [
    "layers: { layer-3: { purpose: x, tasks: [a], models: [{ name: m, architecture: z, tasks: [a], catalogue: nope }] } }",
    'has no "nope"',
  ],
  [
    "layers: { layer-3: { purpose: x, tasks: [a], models: [{ name: m, architecture: z, tasks: [a], source: 'ftp://x/y' }] } }",
    "write hf:owner/name",
  ],
  [
    "layers: { layer-3: { purpose: x, tasks: [a], models: [{ name: ../m, architecture: z, tasks: [a] }] } }",
    "A-Z a-z 0-9",
  ],
  ["layers:\n  layer-3: { purpose: x, tasks: [a] }\n  layer-3: { purpose: y, tasks: [a] }", "unique"],
  ["layers: [", "layers.yaml"],
  ["", "layers.yaml"],
])("refuses %j", (text, message) => {
  let error: unknown = null;
  try {
    parseLayers(text);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toMatchObject({ code: "INVALID_REQUEST", message: expect.stringContaining(message) });
});

test("without a file there are the built-in layers", async () => {
  const root = await mkdtemp(join(tmpdir(), "layers-"));
  expect(await readLayers(join(root, "layers.yaml"))).toBe(BUILT_IN_LAYERS);
  await writeFile(join(root, "layers.yaml"), "layers: { layer-3: { purpose: x, tasks: [a] } }");
  expect(await readLayers(join(root, "layers.yaml"))).toHaveLength(3);
  await rm(root, { recursive: true });
});
