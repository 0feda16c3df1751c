import { CommandError } from "../errors.js";
import type { Output } from "../output.js";

/** mAP50 that Grounding DINO should have before its boxes are worth distilling. */
export const GROUNDING_DINO_GATE = 0.85;
/** Mask IoU that SAM should have before its masks are worth distilling. */
export const SAM_GATE = 0.88;

/** What one teacher reached on validation images. */
export interface GateCheck {
  /** For example "mAP50". */
  readonly metric: string;
  /** null: no validation images. */
  readonly value: number | null;
  readonly gate: number;
  /** What raises it. */
  readonly advice: string;
}

const sentence = ({ metric, value, gate, advice }: GateCheck): string =>
  value === null
    ? `${metric} was not measured: give --val`
    : `${metric} ${value.toFixed(3)} is not above ${gate}; ${advice}`;

/** Warns of every teacher that misses its gate, and returns those. */
export function warnBelowGate(checks: readonly GateCheck[], output: Output): GateCheck[] {
  const missed = checks.filter(({ value, gate }) => value === null || value <= gate);
  for (const check of missed) if (check.value !== null) output.line(`warning: ${sentence(check)}`);
  return missed;
}

/**
 * For `--require-teacher-gate`: everything has been written, but the run does not count as a success.
 * @throws {@link CommandError} `cli/teacher-gate`
 */
export function requireGates(missed: readonly GateCheck[]): void {
  if (missed.length === 0) return;
  throw new CommandError({
    code: "cli/teacher-gate",
    message: `The teacher misses its gate: ${missed.map(sentence).join(". ")}. Everything is written; train with more images or epochs, or leave --require-teacher-gate out.`,
  });
}
