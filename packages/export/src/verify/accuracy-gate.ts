import { ExportError } from "../errors.js";
import type { SqnrEntry } from "../quantize/sqnr.js";
import type { Precision } from "./parity.js";

/** Largest loss of mAP50-95 against the float source, absolute. */
export const ACCURACY_LIMITS: Readonly<Record<Precision, number>> = { fp32: 0.001, fp16: 0.005, int8: 0.03 };

/** INT8 should lose less than this; above it the caller is warned. */
const EXPECTED_LOSS = 0.01;

/** Verdict of {@link assertAccuracy}. */
export interface AccuracyVerdict {
  /** Loss of mAP50-95; negative for a gain. */
  readonly drop: number;
  readonly limit: number;
  /** Not null when the loss is allowed but larger than expected. */
  readonly warning: string | null;
}

/**
 * Judges the loss of mAP50-95 of an artefact against its float source.
 *
 * @param limit - @defaultValue 0.03 for int8, 0.005 for fp16
 * @param worst - tensors or layers that differ most, for the error
 * @throws ExportError `GATE_FAILED` naming the worst of them
 */
export function assertAccuracy({
  artefact,
  precision,
  source,
  value,
  limit = ACCURACY_LIMITS[precision],
  worst = [],
}: {
  artefact: string;
  precision: Precision;
  /** mAP50-95 of the float source. */
  source: number;
  /** mAP50-95 of the artefact. */
  value: number;
  limit?: number;
  worst?: readonly SqnrEntry[];
}): AccuracyVerdict {
  const drop = source - value;
  // Also a loss that is no number is no pass.
  if (!(drop <= limit)) {
    const names = worst.slice(0, 5).map(({ tensor, sqnrDb }) => `${tensor} (${sqnrDb.toFixed(1)} dB)`);
    throw new ExportError({
      code: "GATE_FAILED",
      message: `${artefact} loses ${drop.toFixed(4)} mAP50-95 (${source.toFixed(4)} to ${value.toFixed(4)}), the limit is ${limit}.${names.length > 0 ? ` Worst: ${names.join(", ")}.` : ""} Leave the worst layers float with quantizeWithin(), or calibrate with more images.`,
      details: { gate: "mAP50-95", value: drop, limit, worst: worst.slice(0, 5) },
    });
  }
  const isLarge = precision === "int8" && drop > EXPECTED_LOSS;
  return {
    drop,
    limit,
    warning: isLarge ? `${artefact} loses ${drop.toFixed(4)} mAP50-95; expected below ${EXPECTED_LOSS}.` : null,
  };
}
