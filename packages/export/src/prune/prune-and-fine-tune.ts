import type { LayerWidths, StateDict } from "@seg/nn";
import { ExportError } from "../errors.js";
import type { PrunedStudent } from "./prune-student.js";

/** A student between two rounds: weights with the widths that they need. */
export interface PruneState {
  readonly weights: StateDict;
  readonly widths: LayerWidths;
}

/** One round of {@link pruneAndFineTune}. */
export interface PruneRound extends PruneState {
  /** 0-based. */
  readonly round: number;
  /** Share of the channels that this round removes. */
  readonly ratio: number;
}

/** Pruning in steps, each followed by training, with the accuracy that must remain. */
export interface PruneAndFineTuneOptions extends PruneState {
  /** Share of the channels that goes in the end, 0 < ratio < 1. */
  readonly ratio: number;
  /** Score of the weights before pruning, for example mAP50. */
  readonly score: number;
  /** Rounds of pruning and fine-tuning; more and smaller ones lose less and cost more. @defaultValue 1 */
  readonly rounds?: number;
  /** Largest loss of score over all rounds. @defaultValue 0.2 */
  readonly maxDrop?: number;
  /** Removes `ratio` of the channels of a student, for example with `pruneStudent`. */
  readonly prune: (round: PruneRound) => PrunedStudent | Promise<PrunedStudent>;
  /** Trains the narrower student with the loss that it was trained with, and scores it. */
  readonly fineTune: (round: PruneRound & Pick<PrunedStudent, "report">) => Promise<PruneState & { score: number }>;
  readonly signal?: AbortSignal;
}

/** Result of {@link pruneAndFineTune}. */
export interface PruneResult extends PruneState {
  readonly score: number;
  readonly rounds: readonly {
    readonly ratio: number;
    readonly score: number;
    readonly report: PrunedStudent["report"];
  }[];
}

/**
 * Prunes in equal steps, each followed by fine-tuning: every round removes 1 - (1 - ratio)^(1 / rounds) of what is left.
 *
 * @throws ExportError `GATE_FAILED` as soon as the score has dropped by more than `maxDrop`
 */
export async function pruneAndFineTune({
  weights,
  widths,
  ratio,
  score,
  rounds = 1,
  maxDrop = 0.2,
  prune,
  fineTune,
  signal,
}: PruneAndFineTuneOptions): Promise<PruneResult> {
  const step = 1 - (1 - ratio) ** (1 / rounds);
  let state: PruneState = { weights, widths };
  let current = score;
  const done: PruneResult["rounds"][number][] = [];
  for (let round = 0; round < rounds; round++) {
    signal?.throwIfAborted();
    const pruned = await prune({ ...state, round, ratio: step });
    const tuned = await fineTune({ ...pruned, round, ratio: step });
    state = { weights: tuned.weights, widths: tuned.widths };
    current = tuned.score;
    done.push({ ratio: step, score: current, report: pruned.report });
    if (score - current > maxDrop) {
      throw new ExportError({
        code: "GATE_FAILED",
        message: `Pruning lost ${(score - current).toFixed(3)} of ${score.toFixed(3)} after round ${round + 1} of ${rounds}, the limit is ${maxDrop}. Prune less, fine-tune longer, or in more rounds.`,
        details: { gate: "prune-score-drop", value: score - current, limit: maxDrop },
      });
    }
  }
  return { ...state, score: current, rounds: done };
}
