import { Module, type Parameter } from "@seg/nn";

/**
 * The trained parameters of a model, under their own names, as a module of its own: what checkpoints hold. The frozen rest is neither
 * saved nor switched to training mode.
 */
export class TrainableView extends Module {
  readonly #parameters: ReadonlyMap<string, Parameter>;
  readonly #onTrain: ((on: boolean) => void) | null;

  /** @param onTrain - switches what does change between training and evaluation, such as the dropout of adapters */
  constructor(parameters: ReadonlyMap<string, Parameter>, onTrain: ((on: boolean) => void) | null = null) {
    super();
    this.#parameters = parameters;
    this.#onTrain = onTrain;
  }

  override train(on = true): this {
    this.#onTrain?.(on);
    return super.train(on);
  }

  override *children(): Generator<[string, Parameter]> {
    yield* this.#parameters;
  }
}
