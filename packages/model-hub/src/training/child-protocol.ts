import type { OpenDataset } from "../datasets/types.js";
import type { ResolvedRetrain, TrainerModule, TrainerProgress, TrainingResult } from "./types.js";

/** First message to the child. */
export interface ChildStart {
  readonly type: "start";
  readonly trainer: TrainerModule;
  readonly config: ResolvedRetrain;
  readonly datasets: readonly OpenDataset[];
  readonly baseDirectory: string | null;
  readonly outputDirectory: string;
  readonly checkpointDirectory: string;
  readonly fence: number;
}

export type ToChild = ChildStart | { readonly type: "cancel" };

export type FromChild =
  | { readonly type: "progress"; readonly progress: TrainerProgress }
  | { readonly type: "log"; readonly message: string }
  | { readonly type: "checkpoint"; readonly epoch: number; readonly step: number; readonly file: string }
  | { readonly type: "result"; readonly result: TrainingResult }
  /** The trainer stopped because it was asked to. */
  | { readonly type: "cancelled" }
  | {
      readonly type: "error";
      readonly code: string | null;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    };
