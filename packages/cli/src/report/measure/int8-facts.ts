import type { BenchmarkReport, Certificate } from "@seg/export";
import type { Int8Facts } from "../report-data.js";

/** A ratio in dB as JSON keeps it: an infinite one (no noise) is null. */
interface StoredRatio {
  readonly tensor: string;
  readonly sqnrDb: number | null;
}

/** What `seg optimize` leaves in `optimize.json`, as far as the report needs it. */
export interface OptimizeRecord {
  readonly sqnr: {
    readonly tensors: readonly StoredRatio[];
    readonly outputs: readonly StoredRatio[];
    readonly worst: readonly StoredRatio[];
    readonly samples: number;
  } | null;
  /** Absent in records of earlier versions. */
  readonly int8?: {
    readonly floatLayers: readonly string[];
    readonly accuracy: readonly { readonly passed: boolean; readonly value: number; readonly limit: number }[] | null;
    readonly ranking: readonly { readonly layer: string; readonly sqnrDb: number | null }[] | null;
  } | null;
}

const MAX_RANKED = 10;

/** How INT8 was made and what it changed; null where `seg optimize` made no INT8 model. */
export function int8Facts({
  record,
  certificate,
  row,
}: {
  record: OptimizeRecord | null;
  certificate: Certificate | null;
  row: BenchmarkReport["rows"][number] | null;
}): Int8Facts | null {
  if (record?.sqnr == null) return null;
  const { tensors, outputs, worst, samples } = record.sqnr;
  const ratios = tensors.flatMap(({ sqnrDb }) => (sqnrDb === null ? [] : [sqnrDb])).sort((a, b) => a - b);
  const keep = ({ tensor, sqnrDb }: StoredRatio) => ({ tensor, sqnrDb });
  const { int8 } = record;
  const parity = certificate?.parity;
  return {
    outputs: outputs.map(keep),
    worst: worst.map(keep),
    activations: tensors.length,
    medianSqnrDb: ratios[Math.floor((ratios.length - 1) / 2)] ?? null,
    samples,
    floatLayers: int8 == null ? null : [...int8.floatLayers],
    attempts: int8?.accuracy?.map(({ passed, value, limit }) => ({ passed, value, limit })) ?? null,
    ranking: int8?.ranking?.slice(0, MAX_RANKED).map(({ layer, sqnrDb }) => ({ layer, sqnrDb })) ?? null,
    parity:
      parity === undefined
        ? null
        : { classMaxError: parity.classMaxError, boxSqnrDb: parity.boxSqnrDb, classSqnrDb: parity.classSqnrDb },
    speedup: row === null ? null : { median: row.speedup, low: row.speedupLow, high: row.speedupHigh },
    calibrationSha256: row?.calibrationSha256 ?? null,
  };
}
