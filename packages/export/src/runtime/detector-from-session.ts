import type { ClassMapping, RgbImage } from "@seg/coco-dataset";
import { ExportError } from "../errors.js";
import { type DecodeOptions, type Detections, decodeOutputs, type RawTensor } from "./decode.js";
import type { LetterboxGeometry } from "./geometry.js";
import type { ModelMetadata } from "./metadata.js";
import type { Session } from "./ort-session.js";

/** Detections of one image with the class names of the model. */
export interface DetectionResult extends Detections {
  /** Names of `classes`, [n]. */
  names: string[];
  /** Where the image lay in the network input. */
  geometry: LetterboxGeometry;
}

/** An exported student, ready to run: image -> boxes, scores, classes, masks. */
export interface Detector {
  readonly metadata: ModelMetadata;
  readonly numClasses: number;
  /** Letterbox -> network -> decode. */
  predict(image: RgbImage, options?: DecodeOptions): Promise<DetectionResult>;
  /** The same for an already letterboxed tensor `[1, 3, H, W]` in 0..1. */
  predictTensor(data: Float32Array, geometry: LetterboxGeometry, options?: DecodeOptions): Promise<DetectionResult>;
  /** Raw network outputs for a tensor `[1, 3, H, W]` in 0..1. */
  run(data: Float32Array): Promise<{ output0: RawTensor; output1?: RawTensor }>;
  dispose(): Promise<void>;
}

/**
 * Letterboxes a picture for a network of this size: planes `[3, H, W]` in 0..1 and where the picture lies.
 * @param out - memory of an earlier call, to be overwritten
 */
export type Letterbox = (
  image: RgbImage,
  size: { width: number; height: number },
  out?: Float32Array,
) => { data: Float32Array; geometry: LetterboxGeometry };

/**
 * Checks a mapping against the names that a model carries.
 * @throws ExportError `CLASS_MAP_MISMATCH` when it has another length or other names
 */
export function assertSameClasses({ names }: ModelMetadata, classes: ClassMapping | undefined): void {
  const differs = classes?.classes.findIndex(({ name }, index) => name !== names[index]) ?? -1;
  if (classes === undefined || (classes.classes.length === names.length && differs < 0)) return;
  const what =
    differs >= 0
      ? `class ${differs} is "${names[differs]}" in the model and "${classes.classes[differs]?.name}" in the mapping`
      : `the model has ${names.length} classes, the mapping ${classes.classes.length}`;
  throw new ExportError({
    code: "CLASS_MAP_MISMATCH",
    message: `The class mapping does not belong to this model: ${what}. Use the mapping exported with the model.`,
    details: { expected: classes.classes.length, actual: names.length },
  });
}

/**
 * A detector over an opened session in the ONNX contract. It owns the session.
 * @throws ExportError `NOT_DECODABLE` for an end-to-end model, whose outputs need no decoding
 */
export function detectorFromSession({
  session,
  metadata,
  letterbox,
}: {
  session: Session;
  metadata: ModelMetadata;
  letterbox: Letterbox;
}): Detector {
  const { names } = metadata;
  if (session.outputNames.includes("scores") && !session.outputNames.includes("output0")) {
    throw new ExportError({
      code: "NOT_DECODABLE",
      message: `The model's outputs are ${session.outputNames.join(", ")}: boxes are selected in the graph already. Open the model that it was made from.`,
      details: { reason: "end-to-end outputs" },
    });
  }
  const numClasses = names.length;
  const [height, width] = metadata.imgsz;
  const inputName = session.inputNames[0]!;
  /** Inputs that nobody uses at the moment: faulting in 5 MB for every picture costs more than the letterbox. */
  const inputs: Float32Array[] = [];
  const run: Detector["run"] = async (data) => {
    const outputs = await session.run({ [inputName]: { data, dims: [1, 3, height, width] } });
    const output0 = outputs["output0"] ?? outputs[session.outputNames[0]!]!;
    const output1 = outputs["output1"];
    return { output0, ...(output1 === undefined ? {} : { output1 }) };
  };
  const predictTensor: Detector["predictTensor"] = async (data, geometry, options = {}) => {
    const detections = decodeOutputs({ ...(await run(data)), numClasses, geometry, ...options });
    return { ...detections, names: Array.from(detections.classes, (id) => names[id]!), geometry };
  };
  return {
    metadata,
    numClasses,
    run,
    predictTensor,
    async predict(image, options) {
      const { data, geometry } = letterbox(image, { width, height }, inputs.pop());
      try {
        return await predictTensor(data, geometry, options);
      } finally {
        inputs.push(data);
      }
    },
    dispose: () => session.dispose(),
  };
}
