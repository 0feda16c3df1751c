import { Module, type Parameter } from "@seg/nn";

/**
 * The trained parameters of a model, under their own names, as a module of its own: what checkpoints hold. The frozen rest is neither
 * saved nor switched to training mode.
 */
export class TrainableView extends Module {
  readonly #parameters: ReadonlyMap<string, Parameter>;

  constructor(parameters: ReadonlyMap<string, Parameter>) {
    super();
    this.#parameters = parameters;
  }

  override *children(): Generator<[string, Parameter]> {
    yield* this.#parameters;
  }
}
