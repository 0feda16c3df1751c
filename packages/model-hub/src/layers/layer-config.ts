import { readFile } from "node:fs/promises";
import { parseDocument } from "yaml";
import { z } from "zod";
import { catalogue } from "../catalogue/catalogue.js";
import { HubError } from "../errors.js";
import { parseModelRef } from "../sources/model-ref.js";
import { BUILT_IN_LAYERS } from "./built-in-layers.js";
import type { LayerConfig } from "./types.js";

/** Names become parts of keys. */
export const LAYER_NAME = /^layer-[1-9]\d{0,3}$/;
export const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const word = z.string().min(1).max(128);
const settings = z.record(z.string(), z.unknown());

const modelSchema = z
  .strictObject({
    name: z.string().regex(MODEL_NAME, "1 to 128 of A-Z a-z 0-9 . _ -"),
    architecture: word,
    tasks: z.array(word).min(1),
    catalogue: word.optional(),
    source: z.string().max(2000).optional(),
    allow: z.array(word).optional(),
    sha256: z
      .string()
      .regex(/^[0-9a-fA-F]{64}$/, "64 hex digits")
      .toLowerCase()
      .optional(),
    licence: word.optional(),
    when: z.string().max(500).optional(),
    training_data: z.string().max(2000).optional(),
    input_spec: z.string().max(2000).optional(),
    settings: settings.optional(),
  })
  .superRefine(({ catalogue: id, source }, context) => {
    const bad = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
    if (id !== undefined && source !== undefined) bad("source", "give catalogue or source, not both");
    if (id !== undefined && !catalogue.entries.some((entry) => entry.id === id))
      bad("catalogue", `the catalogue has no "${id}"; see seg-hub models list`);
    if (source === undefined) return;
    if (!/^(hf:|civitai:|url:|https?:\/\/|urn:air:)/.test(source)) {
      bad("source", "write hf:owner/name, civitai:<model>@<version>, an AIR URN or a URL");
      return;
    }
    try {
      parseModelRef(source);
    } catch (error) {
      bad("source", (error as Error).message);
    }
  });

const layerSchema = z
  .strictObject({
    purpose: z.string().min(1).max(2000),
    tasks: z.array(word).min(1),
    models: z.array(modelSchema).default([]),
    architectures: z.record(word, settings).default({}),
  })
  .superRefine(({ tasks, models }, context) => {
    const seen = new Set<string>();
    for (const [index, model] of models.entries()) {
      const foreign = model.tasks.filter((task) => !tasks.includes(task));
      if (foreign.length > 0)
        context.addIssue({
          code: "custom",
          path: ["models", index, "tasks"],
          message: `"${foreign.join(", ")}" is none of the layer's tasks: ${tasks.join(", ")}`,
        });
      if (seen.has(model.name))
        context.addIssue({ code: "custom", path: ["models", index, "name"], message: `"${model.name}" appears twice` });
      seen.add(model.name);
    }
  });

const fileSchema = z.strictObject({
  layers: z.record(z.string(), layerSchema).superRefine((layers, context) => {
    for (const name of Object.keys(layers))
      if (!LAYER_NAME.test(name))
        context.addIssue({ code: "custom", path: [name], message: "layers are called layer-1, layer-2, ..." });
  }),
});

const numberOf = ({ layer }: LayerConfig): number => Number(layer.slice("layer-".length));

/**
 * The built-in layers with those of a `layers.yaml` document added, or put in their place where the name is the same; by number.
 *
 * @param where - what errors call the document
 * @throws {@link HubError} INVALID_REQUEST listing every fault with its place
 */
export function parseLayers(text: string, where = "layers.yaml"): readonly LayerConfig[] {
  const document = parseDocument(text, { uniqueKeys: true });
  const issues = document.errors.map(({ message }) => ({ path: where, message }));
  const parsed = fileSchema.safeParse(issues.length > 0 ? { layers: {} } : document.toJS());
  if (!parsed.success)
    issues.push(...parsed.error.issues.map(({ path, message }) => ({ path: path.map(String).join("."), message })));
  if (issues.length > 0 || !parsed.success) {
    throw new HubError({
      code: "INVALID_REQUEST",
      message: `${where} cannot be used:${issues.map(({ path, message }) => `\n  ${path === "" ? where : path}: ${message}`).join("")}`,
      details: { issues },
    });
  }
  const own = Object.entries(parsed.data.layers).map(([layer, config]): LayerConfig => ({ layer, ...config }));
  const names = new Set(own.map(({ layer }) => layer));
  return [...BUILT_IN_LAYERS.filter(({ layer }) => !names.has(layer)), ...own].sort(
    (a, b) => numberOf(a) - numberOf(b),
  );
}

/** The layers of a file, the built-in ones where there is none. @throws {@link HubError} INVALID_REQUEST */
export async function readLayers(path: string): Promise<readonly LayerConfig[]> {
  try {
    return parseLayers(await readFile(path, "utf8"), path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return BUILT_IN_LAYERS;
    throw error;
  }
}
