import { certifyPromptFree, ExportError } from "@seg/export";
import {
  checkModel,
  DataType,
  decodeModel,
  encodeModel,
  GraphBuilder,
  type Model,
  modelHash,
  SegError,
} from "@seg/onnx";
import { damageBytes } from "./damage-bytes.js";
import type { Fuzzer, FuzzRandom } from "./fuzzer.js";

/** What the readers may answer to a damaged file. */
const EXPECTED: ReadonlySet<string> = new Set(["MALFORMED_PROTOBUF", "onnx/tensor-data", "NOT_PROMPT_FREE"]);

/**
 * The ONNX codec and checks on damaged files: a typed error, or a model whose issues can be listed, whose hash can be taken and which encodes to
 * bytes that decode to the same bytes again.
 */
export const onnx: Fuzzer = async (random) => {
  const bytes = damageBytes(random, encodeModel(model(random)));
  try {
    const decoded = decodeModel(bytes);
    checkModel(decoded);
    modelHash(decoded);
    const encoded = encodeModel(decoded);
    const again = encodeModel(decodeModel(encoded));
    if (Buffer.compare(encoded, again) !== 0) throw new Error("encoding is not stable");
    certifyPromptFree(decoded);
    return "accepted";
  } catch (error) {
    if ((SegError.isInstance(error) || ExportError.isInstance(error)) && EXPECTED.has(error.code)) return "refused";
    throw error;
  }
};

function model(random: FuzzRandom): Model {
  const builder = new GraphBuilder("g");
  const x = builder.input("images", DataType.FLOAT, [1, 3, random.pick([8, "height"] as const), 8]);
  const half = random.chance(0.5);
  const weight = builder.initializer("w", half ? DataType.FLOAT16 : DataType.INT8, [half ? 2 : 4], new Uint8Array(4));
  const attributes = { axis: 1, ratio: { float: 0.5 }, mode: "nearest", sizes: [1, 2, -3], names: ["a", "b"] };
  const [y] = builder.node("Concat", [x, weight], { attributes });
  const body = new GraphBuilder("body");
  body.output(body.node("Identity", [y!])[0]!);
  const [z] = builder.node("If", [y!], { attributes: { then_branch: { graph: body.graph() } }, domain: "custom" });
  builder.output(z!, DataType.FLOAT, [1, 3, 8, 8]);
  return { ...builder.build(), metadataProps: [{ key: "names", value: "{0: 'ear'}" }] };
}
