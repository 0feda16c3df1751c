import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { KeyMap, TensorSource } from "@seg/nn";
import {
  countGroundingDinoParameters,
  countParameters,
  groundingDinoOriginalKeys,
  groundingDinoStateShapes,
  parseGroundingDinoConfig,
  parseSamConfig,
  samOriginalKeys,
  samStateShapes,
} from "@seg/teachers";
import type { Check } from "../check.js";
import { originalGroundingDino, originalSam } from "../original-names.js";

interface Listing {
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: Readonly<Record<string, readonly [dtype: string, shape: readonly number[]]>>;
  readonly may_be_absent_on_disk: readonly string[];
  readonly unique_parameters: number;
}

type Shapes = ReadonlyMap<string, readonly number[]>;

/**
 * Compares names and shapes of every full-size model with those that our networks of the same configuration have, and sends the authors' own names
 * through our conversion. `dir` holds one JSON file per model, see fixtures/keys/README.md.
 */
export async function run(dir: string, check: Check): Promise<void> {
  for (const file of readdirSync(dir)
    .filter((name) => name.endsWith(".json"))
    .sort()) {
    const listing = JSON.parse(readFileSync(join(dir, file), "utf8")) as Listing;
    const name = file.replace(/\.json$/, "");
    const type = listing.config["model_type"];
    if (type === "sam") {
      const config = parseSamConfig(listing.config);
      compareShapes(name, samStateShapes(config), listing, check);
      compareCount(name, countParameters(config), listing, check);
      compareConversion(name, samOriginalKeys, originalSam(shapesOf(listing)), listing, check);
    } else if (type === "grounding-dino") {
      const config = parseGroundingDinoConfig(listing.config);
      compareShapes(name, groundingDinoStateShapes(config), listing, check);
      compareCount(name, countGroundingDinoParameters(config), listing, check);
      compareConversion(name, groundingDinoOriginalKeys, originalGroundingDino(shapesOf(listing)), listing, check);
    } else check.skip(name, `${String(type)} is none of the teachers`);
  }
}

/** Names and shapes without recomputable index tables. */
function shapesOf({ tensors }: Listing): Shapes {
  const entries = Object.entries(tensors).filter(([name]) => !name.endsWith(".relative_position_index"));
  return new Map(entries.map(([name, [, shape]]) => [name, shape]));
}

function compareShapes(name: string, own: Shapes, listing: Listing, check: Check): void {
  const wanted = shapesOf(listing);
  const optional = new Set(listing.may_be_absent_on_disk);
  const missing = [...wanted.keys()].filter((key) => !own.has(key) && !optional.has(key));
  const extra = [...own.keys()].filter((key) => !wanted.has(key));
  check.ok(`${name}: no name is missing`, missing.length === 0, missing.slice(0, 5).join(", "));
  check.ok(`${name}: no name is extra`, extra.length === 0, extra.slice(0, 5).join(", "));
  for (const [key, shape] of wanted) {
    if (own.has(key))
      check.ok(`${name}: ${key}`, own.get(key)!.join() === shape.join(), `[${own.get(key)}], expected [${shape}]`);
  }
}

function compareCount(name: string, own: number, { unique_parameters: wanted, tensors }: Listing, check: Check): void {
  // The listing counts parameters; fixed position matrices are buffers there and part of the file.
  const buffers = tensors["shared_image_embedding.positional_embedding"]?.[1].reduce((a, b) => a * b, 1) ?? 0;
  check.ok(`${name}: parameters`, own === wanted || own === wanted + buffers, `${own}, expected ${wanted}`);
}

/** Every target comes out with its shape, nothing else does, and no source key is left over. */
function compareConversion(name: string, map: KeyMap, original: Shapes, listing: Listing, check: Check): void {
  const wanted = shapesOf(listing);
  let mapped: TensorSource;
  try {
    mapped = map.apply(shapeSource(original));
  } catch (error) {
    check.ok(`${name}: conversion`, false, String(error));
    return;
  }
  const optional = new Set([...listing.may_be_absent_on_disk, "shared_image_embedding.positional_embedding"]);
  const missing = [...wanted.keys()].filter((key) => !mapped.has(key) && !optional.has(key));
  const extra = mapped.names().filter((key) => !wanted.has(key));
  check.ok(`${name}: conversion reaches every name`, missing.length === 0, missing.slice(0, 5).join(", "));
  check.ok(`${name}: conversion makes no other name`, extra.length === 0, extra.slice(0, 5).join(", "));
  for (const key of mapped.names()) {
    const [actual, expected] = [mapped.info(key).shape, wanted.get(key) ?? []];
    check.ok(`${name}: converted ${key}`, actual.join() === expected.join(), `[${actual}], expected [${expected}]`);
  }
}

function shapeSource(shapes: Shapes): TensorSource {
  return {
    names: () => [...shapes.keys()],
    has: (key) => shapes.has(key),
    info: (key) => ({ dtype: "F32", shape: shapes.get(key)! }),
    tensor: (key) => {
      throw new RangeError(`${key}: only names and shapes are compared.`);
    },
  };
}
