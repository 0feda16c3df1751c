/** A model in training with one batch that is shown again and again. */
export interface StepCase {
  /** Forward, backward, clipping, AdamW. */
  step(): Promise<void>;
  readonly trainable: number;
}

/** What is trained: adapters on a frozen model, or every weight. */
export type StepMode = "lora" | "full";

/** Makes a case. `size` is height and width in pixels, where the network takes any. */
export type CreateStep = (mode: StepMode, images: number, size?: readonly [number, number]) => StepCase;
