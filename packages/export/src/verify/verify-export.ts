import { createHash } from "node:crypto";
import { readdir, readFile, rename } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { CounterRandom } from "@seg/augment";
import type { ClassMapping } from "@seg/coco-dataset";
import { decodeModel, modelHash } from "@seg/onnx";
import { ExportError } from "../errors.js";
import { sqnrReport } from "../quantize/sqnr.js";
import { type Detections, decodeOutputs, type RawTensor } from "../runtime/decode.js";
import type { LetterboxGeometry } from "../runtime/geometry.js";
import { createSession, type Session } from "../runtime/session.js";
import { isTflite } from "../tflite/is-tflite.js";
import { openTflite } from "../tflite/open-tflite.js";
import { certifyTflitePromptFree } from "../tflite/prompt-free-tflite.js";
import { writeJson } from "../write-text.js";
import { assertParity, type ParityReport, type Precision, parity } from "./parity.js";
import { certifyPromptFree, type PromptFreeStructure } from "./prompt-free.js";

/** One behavioural check: the same input twice, equal bits, finite values, decodable. */
export interface BehaviourRecord {
  input: string;
  /** SHA-256 over the bytes of all outputs. */
  outputSha256: string;
  detections: number;
}

/** Proof that one artefact works without a prompt; written beside it as `{stem}.certificate.json`. */
export interface Certificate extends PromptFreeStructure {
  version: 1;
  file: string;
  bytes: number;
  /** SHA-256 of the file. */
  fileSha256: string;
  /** Canonical hash of the graph; of a TFLite model, which has one form only, that of the file. */
  modelSha256: string;
  precision: Precision;
  numClasses: number;
  classNames: string[];
  behaviour: BehaviourRecord[];
  /** Agreement with the float source, when one was given. */
  parity?: ParityReport;
  warnings: string[];
}

/** What an artefact is checked against. */
export interface VerifySpec {
  classes: ClassMapping;
  /** Images of the data set as the network sees them, CHW in 0..1; at least 3 make a full check. @defaultValue [] */
  images?: readonly Float32Array[];
  /** @defaultValue "fp32" */
  precision?: Precision;
  /** Path or bytes of the float source, for parity. */
  reference?: string | Uint8Array;
  /** Seed of the noise image. @defaultValue 0 */
  seed?: number;
  /** Where the certificate goes. @defaultValue `{stem}.certificate.json` beside an ONNX file, `{stem}_tflite.certificate.json` beside a TFLite file */
  certificatePath?: string;
}

/** Files that belong to a text encoder. */
const PROMPT_FILES = /^(tokenizer.*\.json|vocab\.(txt|json)|merges\.txt|special_tokens_map\.json|.*\.(spm|bpe))$/i;
const LEAST_IMAGES = 3;

/**
 * Checks an exported model from the file on disk: prompt-free by structure and by behaviour (zeros, seeded noise and images, each twice,
 * bit-identical and finite), decodable with integer class ids below the class count, and close to its float source.
 *
 * @throws ExportError `NOT_PROMPT_FREE`, `CLASS_MAP_MISMATCH`, `NOT_DECODABLE`, `PARITY_FAILED`, `HEAD_COLLAPSE`; the model is then renamed to
 * `*.rejected` and no certificate is written
 */
export async function verifyExport(path: string, spec: VerifySpec): Promise<Certificate> {
  try {
    const certificate = await check(path, spec);
    writeJson(spec.certificatePath ?? defaultCertificate(path), certificate);
    return certificate;
  } catch (error) {
    // A file that is not there cannot be renamed; the first error is the one to report.
    await rename(path, `${path}.rejected`).catch(() => undefined);
    throw error;
  }
}

function defaultCertificate(path: string): string {
  const extension = extname(path);
  const stem = basename(path, extension);
  // The same stem may exist in both formats.
  return join(dirname(path), `${stem}${extension === ".tflite" ? "_tflite" : ""}.certificate.json`);
}

async function check(
  path: string,
  { classes, images = [], precision = "fp32", reference, seed = 0 }: VerifySpec,
): Promise<Certificate> {
  const bytes = await readFile(path);
  const { structure, hash, dims, open } = inspect(path, bytes);
  const companions = (await readdir(dirname(path))).filter((name) => PROMPT_FILES.test(name));
  if (companions.length > 0) {
    throw new ExportError({
      code: "NOT_PROMPT_FREE",
      message: `Text-encoder files lie beside the model: ${companions.join(", ")}. Remove them or export elsewhere.`,
      details: { inputs: ["images"], reason: companions.join(", ") },
    });
  }
  const size = dims.reduce((product, side) => product * side, 1);
  const random = new CounterRandom({ seed, path: "verify-export/noise" });
  const inputs: [string, Float32Array][] = [
    ["zeros", new Float32Array(size)],
    ["noise", Float32Array.from({ length: size }, () => random.uniform())],
    ...images.map((image, i): [string, Float32Array] => [`image ${i}`, image]),
  ];
  const numClasses = classes.classes.length;
  const behaviour: BehaviourRecord[] = [];
  const pairs: { source: RawTensor; candidate: RawTensor }[] = [];
  const warnings: string[] = [];
  const session = await open().catch((error: unknown) => {
    if (!ExportError.is(error, "RUNTIME_UNAVAILABLE")) throw error;
    warnings.push(`Behaviour and parity were not measured: ${error.message}`);
    return null;
  });
  const source = reference === undefined || session === null ? null : await createSession({ model: reference });
  if (session !== null && images.length < LEAST_IMAGES) {
    warnings.push(`${images.length} data set images were checked, ${LEAST_IMAGES} are recommended.`);
  }
  try {
    for (const [name, data] of inputs) {
      if (session === null) break;
      const feeds = { images: { data, dims } };
      const { outputs, sha256 } = await runTwice(session, feeds, name);
      const detections = decodeChecked({ outputs, numClasses, dims, name });
      behaviour.push({ input: name, outputSha256: sha256, detections: detections.scores.length });
      if (source !== null) {
        pairs.push({ source: (await source.run(feeds))["output0"]!, candidate: outputs["output0"]! });
      }
    }
  } finally {
    await session?.dispose();
    await source?.dispose();
  }
  // Noise and zeros lie outside the calibrated domain, so images decide where there are any.
  const report = source === null ? null : parity(images.length > 0 ? pairs.slice(2) : pairs, { numClasses });
  if (report !== null && reference !== undefined) {
    try {
      assertParity(report, precision);
    } catch (error) {
      throw await withWorstTensors(error, {
        reference,
        bytes,
        images: inputs.slice(2).map(([, data]) => data),
        numClasses,
      });
    }
  }
  return {
    ...structure,
    version: 1,
    file: basename(path),
    bytes: bytes.length,
    fileSha256: createHash("sha256").update(bytes).digest("hex"),
    modelSha256: hash,
    precision,
    numClasses,
    classNames: classes.classes.map(({ name }) => name),
    behaviour,
    ...(report === null ? {} : { parity: report }),
    warnings,
  };
}

/** A failed comparison with the tensors that differ most, where the artefact is a QDQ graph whose tensors have names of the source. */
async function withWorstTensors(
  error: unknown,
  {
    reference,
    bytes,
    images,
    numClasses,
  }: { reference: string | Uint8Array; bytes: Uint8Array; images: readonly Float32Array[]; numClasses: number },
): Promise<unknown> {
  if (!ExportError.is(error, "HEAD_COLLAPSE") || isTflite(bytes) || images.length === 0) return error;
  const source = decodeModel(typeof reference === "string" ? await readFile(reference) : reference);
  const { worst } = await sqnrReport(source, decodeModel(bytes), images.slice(0, 2), { numClasses, worst: 5 });
  const names = worst.map(({ tensor, sqnrDb }) => `${tensor} (${sqnrDb.toFixed(1)} dB)`).join(", ");
  const { code, details, message } = error;
  return new ExportError({
    code,
    message: `${message} Worst tensors: ${names}.`,
    details: { ...details, worst },
    cause: error,
  });
}

/** Structure of a model file, the shape of its input in the ONNX contract, and how to run it. */
function inspect(
  path: string,
  bytes: Uint8Array,
): { structure: PromptFreeStructure; hash: string; dims: number[]; open: () => Promise<Session> } {
  if (!isTflite(bytes)) {
    const model = decodeModel(bytes);
    const structure = certifyPromptFree(model);
    const dims = structure.inputs[0]!.shape.map(Number);
    return { structure, hash: modelHash(model), dims, open: () => createSession({ model: path }) };
  }
  const { model, open } = openTflite(bytes);
  const structure = certifyTflitePromptFree(model);
  const [batch = 1, height = 0, width = 0, channels = 0] = structure.inputs[0]!.shape.map(Number);
  const hash = createHash("sha256").update(bytes).digest("hex");
  return { structure, hash, dims: [batch, channels, height, width], open };
}

function notDecodable(reason: string): ExportError {
  return new ExportError({
    code: "NOT_DECODABLE",
    message: `The model's outputs are unusable: ${reason}. Compare the float model with the network it was traced from.`,
    details: { reason },
  });
}

async function runTwice(
  session: Session,
  feeds: Parameters<Session["run"]>[0],
  input: string,
): Promise<{ outputs: Record<string, RawTensor>; sha256: string }> {
  const runs = [await session.run(feeds), await session.run(feeds)].map((outputs) => {
    const hash = createHash("sha256");
    for (const name of session.outputNames) {
      const { data } = outputs[name]!;
      if (!data.every(Number.isFinite)) throw notDecodable(`${name} holds NaN or Inf for ${input}`);
      hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
    return { outputs, sha256: hash.digest("hex") };
  });
  if (runs[0]!.sha256 !== runs[1]!.sha256) throw notDecodable(`two runs of ${input} differ`);
  return runs[0]!;
}

/** Decodes with the image filling the whole input, and checks the contract of the result. */
function decodeChecked({
  outputs,
  numClasses,
  dims,
  name,
}: {
  outputs: Record<string, RawTensor>;
  numClasses: number;
  dims: readonly number[];
  name: string;
}): Detections {
  const [, , height = 0, width = 0] = dims;
  const { output0, output1 } = outputs as { output0?: RawTensor; output1?: RawTensor };
  if (output0 === undefined || output0.dims.length !== 3) throw notDecodable("there is no output0 of rank 3");
  const geometry: LetterboxGeometry = {
    origW: width,
    origH: height,
    contentW: width,
    contentH: height,
    scaleX: 1,
    scaleY: 1,
    padL: 0,
    padT: 0,
    netW: width,
    netH: height,
  };
  const found = decodeOutputs({
    output0,
    ...(output1 === undefined ? {} : { output1 }),
    numClasses,
    geometry,
    confidence: 0.001,
  });
  const wrong = found.classes.find((id) => !Number.isInteger(id) || id < 0 || id >= numClasses);
  if (wrong !== undefined) throw notDecodable(`class id ${wrong} for ${name} is outside 0..${numClasses - 1}`);
  if (found.boxes.length !== 4 * found.scores.length || found.classes.length !== found.scores.length) {
    throw notDecodable(`boxes, scores and classes of ${name} differ in length`);
  }
  if (output1 !== undefined && found.masks?.length !== found.scores.length) {
    throw notDecodable(`masks of ${name} do not match the boxes in number`);
  }
  return found;
}
