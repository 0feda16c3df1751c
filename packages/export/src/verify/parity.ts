import { ExportError } from "../errors.js";
import { sqnrDb } from "../quantize/sqnr.js";
import type { RawTensor } from "../runtime/decode.js";

/** Number format of an artefact; decides how close it must stay to its float source. */
export type Precision = "fp32" | "fp16" | "int8";

/** Agreement of an artefact with its float source on equal inputs. */
export interface ParityReport {
  /** Largest |difference| of box values, network pixels, over anchors that evaluation can keep (source probability above 0.001). */
  boxMaxError: number;
  /** Largest |difference| of class probabilities. */
  classMaxError: number;
  boxSqnrDb: number;
  classSqnrDb: number;
  /** Highest class probability. */
  sourceMaxProbability: number;
  maxProbability: number;
  /** Anchors whose best class is above 0.25. */
  sourceDetections: number;
  detections: number;
}

/** Pixels and probabilities by which an artefact may differ. INT8 is judged by {@link assertParity}'s collapse rule instead. */
const LIMITS = {
  fp32: { box: 0.05, probability: 1e-4 },
  fp16: { box: 0.5, probability: 5e-3 },
} as const;

/** Lowest confidence with which anything evaluates: the box of an anchor below it is never looked at. */
const LOWEST_CONFIDENCE = 0.001;

/** Compares `output0` of both models over samples. */
export function parity(
  pairs: readonly { source: RawTensor; candidate: RawTensor }[],
  { numClasses }: { numClasses: number },
): ParityReport {
  const concatenate = (rows: Float32Array[]): Float32Array => {
    const out = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
    let at = 0;
    for (const row of rows) {
      out.set(row, at);
      at += row.length;
    }
    return out;
  };
  const rows = (which: "source" | "candidate", from: number, to: number): Float32Array =>
    concatenate(pairs.map(({ [which]: { data, dims } }) => data.subarray(from * (dims[2] ?? 0), to * (dims[2] ?? 0))));
  const difference = (x: Float32Array, y: Float32Array): number => {
    let largest = 0;
    for (let i = 0; i < x.length; i++) largest = Math.max(largest, Math.abs(x[i]! - y[i]!));
    return largest;
  };
  const strongest = (which: "source" | "candidate"): { max: number; count: number } => {
    let max = 0;
    let count = 0;
    for (const { [which]: tensor } of pairs) {
      const anchors = tensor.dims[2] ?? 0;
      for (let a = 0; a < anchors; a++) {
        let best = 0;
        for (let c = 0; c < numClasses; c++) best = Math.max(best, tensor.data[(4 + c) * anchors + a]!);
        max = Math.max(max, best);
        if (best > 0.25) count++;
      }
    }
    return { max, count };
  };
  /**
   * Where nothing is, the distances of the box decoder are flat and a rounding moves them by half a pixel. Where no anchor is above the threshold,
   * all count.
   */
  const boxError = (lowest: number): number | null => {
    let largest: number | null = null;
    for (const { source, candidate } of pairs) {
      const anchors = source.dims[2] ?? 0;
      for (let a = 0; a < anchors; a++) {
        let best = 0;
        for (let c = 0; c < numClasses; c++) best = Math.max(best, source.data[(4 + c) * anchors + a]!);
        if (best <= lowest) continue;
        for (let at = a; at < 4 * anchors; at += anchors) {
          largest = Math.max(largest ?? 0, Math.abs(source.data[at]! - candidate.data[at]!));
        }
      }
    }
    return largest;
  };
  const [sourceBoxes, boxes] = [rows("source", 0, 4), rows("candidate", 0, 4)];
  const [sourceClasses, classes] = [rows("source", 4, 4 + numClasses), rows("candidate", 4, 4 + numClasses)];
  const source = strongest("source");
  const candidate = strongest("candidate");
  return {
    boxMaxError: boxError(LOWEST_CONFIDENCE) ?? difference(sourceBoxes, boxes),
    classMaxError: difference(sourceClasses, classes),
    boxSqnrDb: sqnrDb(sourceBoxes, boxes),
    classSqnrDb: sqnrDb(sourceClasses, classes),
    sourceMaxProbability: source.max,
    maxProbability: candidate.max,
    sourceDetections: source.count,
    detections: candidate.count,
  };
}

/**
 * Judges a parity report.
 *
 * @throws ExportError `PARITY_FAILED` (fp32: 0.05 px, 1e-4; fp16: 0.5 px, 5e-3) or `HEAD_COLLAPSE` (INT8, when the source detects something
 * and the artefact finds less than half of it or its class probabilities have an SQNR below 10 dB)
 */
export function assertParity(report: ParityReport, precision: Precision): void {
  if (precision === "int8") {
    const { classSqnrDb, sourceDetections, detections } = report;
    if (sourceDetections > 0 && (detections < sourceDetections / 2 || classSqnrDb < 10)) {
      throw new ExportError({
        code: "HEAD_COLLAPSE",
        message:
          `INT8 finds ${detections} of ${sourceDetections} anchors above 0.25 and its class probabilities have ${classSqnrDb.toFixed(1)} dB ` +
          "(expected half of the anchors and 10 dB). Keep the decode head float and calibrate with 300 images of the domain.",
        details: { classSqnrDb, sourceDetections, detections },
      });
    }
    return;
  }
  const limits = LIMITS[precision];
  for (const [quantity, error, limit] of [
    ["box pixels", report.boxMaxError, limits.box],
    ["class probability", report.classMaxError, limits.probability],
  ] as const) {
    if (error < limit) continue;
    throw new ExportError({
      code: "PARITY_FAILED",
      message: `${precision} differs from its source by ${error} in ${quantity}, the limit is ${limit}. Compare tensor by tensor with sqnrReport().`,
      details: { quantity, error, limit },
    });
  }
}
