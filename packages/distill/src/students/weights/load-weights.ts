import { readFileSync } from "node:fs";
import { loadStateDict, type Module, readSafetensors, type StateDict, stateDict } from "@seg/nn";
import { samOriginalKeys } from "@seg/teachers";
import { CHECKPOINT_FORMAT } from "@seg/train";
import { ConfigError } from "../../errors.js";
import { readNpz } from "./npz.js";
import { readOnnxInitializers, unfoldBatchNorms } from "./onnx-initializers.js";

/** What {@link loadWeights} did. */
export interface WeightReport {
  readonly transferred: number;
  readonly total: number;
  /** Keys left at their initial values: absent from the file or of another shape. */
  readonly skipped: readonly string[];
  /** As stated in the file's metadata or by the caller; null when nobody says. */
  readonly license: string | null;
}

/** Tensors and metadata of one file. */
interface WeightContent {
  readonly dict: StateDict;
  readonly metadata: ReadonlyMap<string, string>;
}

/** Licences that put no condition on the network that is trained from the weights, beyond attribution. */
const PERMISSIVE = /^(apache-2\.0|mit|bsd-[23]-clause|isc|cc0-1\.0|cc-by-4\.0|unlicense)\b/i;

function readWeightFile(file: string): WeightContent {
  if (file.endsWith(".safetensors")) {
    const source = readSafetensors(file);
    return { dict: source.toStateDict(), metadata: new Map(Object.entries(source.metadata)) };
  }
  if (file.endsWith(".npz")) return { dict: readNpz(readFileSync(file), file), metadata: new Map() };
  if (file.endsWith(".onnx")) return readOnnxInitializers(readFileSync(file));
  throw new ConfigError({
    field: "weights",
    expected:
      "a .safetensors, .npz or .onnx file (a .pt is a pickled Python module: convert it, or pass the state dict that readTorchCheckpoint of @seg/nn gives)",
    actual: file,
  });
}

/** The averaged, else the plain weights of a checkpoint of @seg/train, under plain names; other content as it is. */
function plainNames({ dict, metadata }: WeightContent): StateDict {
  if (metadata.get("format") !== CHECKPOINT_FORMAT) return dict;
  const section = [...dict.keys()].some((key) => key.startsWith("ema/")) ? "ema/" : "model/";
  return new Map(
    [...dict].flatMap(([key, tensor]) => (key.startsWith(section) ? [[key.slice(section.length), tensor]] : [])),
  );
}

/** @throws ConfigError unless the licence is known and permissive */
function checkLicense(license: string | null, file: unknown): void {
  if (license !== null && PERMISSIVE.test(license)) return;
  throw new ConfigError({
    field: "permissive_only",
    expected: "weights with a permissive licence, stated in their metadata or by the option `license`",
    actual: `${typeof file === "string" ? file : "a state dict"} (${license ?? "no licence stated"})`,
  });
}

/** `regMax` of a weight file or state dict: the bins of `model.22.dfl.conv.weight`; null where there is no such layer. */
export function regMaxOf(weights: string | StateDict): number | null {
  const dict = typeof weights === "string" ? plainNames(readWeightFile(weights)) : weights;
  for (const key of ["model.22.dfl.conv.weight", "det.head.dfl.conv.weight"]) {
    const shape = dict.get(key)?.shape;
    if (shape) return shape[1]!;
  }
  return null;
}

/**
 * Loads the tensors whose names and shapes agree; with other classes the last layers stay as initialised.
 *
 * @param weights - a `.safetensors` file (plain, or a checkpoint of @seg/train), an `.npz` archive, an `.onnx` model (folded normalisations are
 * unfolded), or a state dict; names of YOLOv8's and MobileSAM's publishers
 * @param options.strict - throw unless every tensor fits @defaultValue false
 * @param options.license - of the weights, where the file does not say @defaultValue null
 * @param options.permissiveOnly - refuse weights of an unknown or a not permissive licence @defaultValue false
 * @throws ConfigError for another file (a pickled `.pt` / `.pth` too), and for a refused licence
 */
export function loadWeights(
  student: { readonly net: Module },
  weights: string | StateDict,
  {
    strict = false,
    license: stated = null,
    permissiveOnly = false,
  }: { strict?: boolean; license?: string | null; permissiveOnly?: boolean } = {},
): WeightReport {
  const content = typeof weights === "string" ? readWeightFile(weights) : { dict: weights, metadata: new Map() };
  const license = stated ?? content.metadata.get("license") ?? null;
  if (permissiveOnly) checkLicense(license, weights);
  const dict: StateDict = new Map(plainNames(content));
  unfoldBatchNorms(dict, new Set(stateDict(student.net).keys()));
  const isOriginalSam = [...dict.keys()].some((key) => key.startsWith("image_encoder."));
  const { matched, missing, mismatched } = loadStateDict(student.net, dict, {
    strict,
    ...(isOriginalSam ? { map: samOriginalKeys } : {}),
  });
  const skipped = [...missing, ...mismatched.map(({ key }) => key)];
  return { transferred: matched.length, total: matched.length + skipped.length, skipped, license };
}
