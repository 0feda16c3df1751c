/** A model in training with one batch that is shown again and again. */
export interface StepCase {
  /** Forward, backward, clipping, AdamW. */
  step(): Promise<void>;
  readonly trainable: number;
}

/** What is trained: adapters on a frozen model, or every weight. */
export type StepMode = "lora" | "full";
