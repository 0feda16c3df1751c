import type { Fact } from "./facts.js";
import type { AdvisedModel, AdvisorRules } from "./rules.js";

/** Scales, zero points, biases and node names of a quantised graph. */
const INT8_OVERHEAD = 0.43e6;
const BASE_SIZE = 640;

/** Bytes of the student's weights in the exported form, an estimate. */
export function exportBytes({ weights }: AdvisedModel, form: "int8" | "fp16" | "float32"): number {
  if (form === "int8") return weights / 4 + INT8_OVERHEAD;
  return form === "fp16" ? weights / 2 : weights;
}

/** GFLOPs of one image; null where the rules do not know. */
export function gflopsAt({ gflops }: AdvisedModel, imageSize: number): number | null {
  return gflops === undefined ? null : gflops * (imageSize / BASE_SIZE) ** 2;
}

/** Bytes of a training step of a student, from what was measured; null where nothing was. */
export function trainingBytes({ training_bytes }: AdvisedModel, batch: number, imageSize: number): number | null {
  if (training_bytes === undefined) return null;
  return training_bytes.fixed + training_bytes.per_pixel * batch * imageSize ** 2;
}

/** Bytes of a teacher in training. */
export function teacherBytes({ weights }: AdvisedModel, { limits }: AdvisorRules): number {
  return weights * limits.teacher_memory_factor.value;
}

/**
 * Seconds that a training image of a student takes: GFLOPs of its forward pass times the measured seconds of a GFLOP, or what the rules say of
 * one; null where the rules know neither.
 */
export function secondsPerImage(
  model: AdvisedModel,
  imageSize: number,
  { measured, rules }: { measured: Fact | undefined; rules: AdvisorRules },
): number | null {
  const perGflop = typeof measured === "number" ? measured : rules.limits.training_seconds_per_gflop?.value;
  const gflops = gflopsAt(model, imageSize);
  return perGflop === undefined || gflops === null ? null : gflops * perGflop;
}
