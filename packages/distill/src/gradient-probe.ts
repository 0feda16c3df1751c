import { Buffer, Counter, type Module, type Parameter } from "@seg/nn";
import { type CompiledFunction, compile } from "@seg/tfjs-onnxruntime";
import type { BatchTensors, LossFunction } from "@seg/train";
import * as tf from "@tensorflow/tfjs";

/** Norms of the gradients of loss parts with respect to the student. */
export interface GradientShares {
  /** Of all parts that are no distillation. */
  readonly task: number;
  /** Of each distillation part. */
  readonly terms: Readonly<Record<string, number>>;
  /** Value of each distillation part on the probed batch. */
  readonly values: Readonly<Record<string, number>>;
}

type Probe = CompiledFunction<
  [{ inputs: { [name: string]: tf.Tensor }; weights: tf.Tensor1D }],
  { square: tf.Scalar; values: tf.Tensor1D }
>;

/** State that a forward pass in training mode moves: it is put back afterwards. */
function movingState(model: Module): () => void {
  const saved: (() => void)[] = [];
  for (const [, leaf] of model.namedLeaves()) {
    if (leaf instanceof Buffer) {
      const values = leaf.data().slice();
      saved.push(() => leaf.assign(values));
    } else if (leaf instanceof Counter) {
      const { value } = leaf;
      saved.push(() => {
        leaf.value = value;
      });
    }
  }
  return () => {
    for (const restore of saved) restore();
  };
}

/**
 * Measures what every distillation term contributes: the norm of its gradient on the student's parameters beside that of the task terms. One compiled graph, which is run
 * once per term with the weights of the terms as input. Nothing of the student changes.
 */
export class GradientProbe {
  readonly #model: Module;
  readonly #parameters: readonly Parameter[];
  readonly #names: readonly string[];
  readonly #probes = new Map<LossFunction, Probe>();

  /**
   * @param model - whose parameters are probed; those of adaptors are not the student's
   * @param names - parts of the loss; those of distillation begin with `kd_`
   */
  constructor({ model, names }: { model: Module; names: readonly string[] }) {
    this.#model = model;
    this.#names = names;
    this.#parameters = [...model.namedParameters().values()].filter(({ requiresGrad }) => requiresGrad);
  }

  /** @param loss - has the parts of the constructor @param inputs - the caller disposes them */
  async measure(loss: LossFunction, inputs: BatchTensors): Promise<GradientShares> {
    const restore = movingState(this.#model);
    try {
      const run = this.#compiled(loss);
      const probe = async (isWanted: (name: string) => boolean) => {
        const weights = tf.tensor1d(this.#names.map((name) => (isWanted(name) ? 1 : 0)));
        const { square, values } = run({ inputs: { ...inputs }, weights });
        const norm = Math.sqrt((await square.data())[0]!);
        const parts = (await values.data()) as Float32Array;
        tf.dispose([weights, square, values]);
        return { norm, parts };
      };
      const task = await probe((name) => !name.startsWith("kd_"));
      const terms: Record<string, number> = {};
      const values: Record<string, number> = {};
      for (const [i, term] of this.#names.entries()) {
        if (!term.startsWith("kd_")) continue;
        terms[term] = (await probe((name) => name === term)).norm;
        values[term] = task.parts[i]!;
      }
      return { task: task.norm, terms, values };
    } finally {
      restore();
    }
  }

  dispose(): void {
    for (const run of this.#probes.values()) run.dispose();
    this.#probes.clear();
  }

  #compiled(loss: LossFunction): Probe {
    const known = this.#probes.get(loss);
    if (known !== undefined) return known;
    const variables = this.#parameters.map(({ variable }) => variable);
    const run: Probe = compile(
      ({ inputs, weights }) =>
        tf.tidy(() => {
          let values: tf.Tensor | undefined;
          const { grads } = tf.variableGrads(() => {
            const { parts } = loss(inputs);
            const terms = tf.stack(this.#names.map((name) => parts[name]!));
            values = tf.keep(terms.clone());
            return tf.sum(tf.mul(terms, weights)) as tf.Scalar;
          }, variables);
          // Parameters that no term reaches have no gradient.
          const squares = Object.values(grads).flatMap((grad) => (grad ? [tf.sum(tf.square(grad))] : []));
          return { square: tf.addN(squares) as tf.Scalar, values: values as tf.Tensor1D };
        }),
      { name: "the gradient probe" },
    );
    this.#probes.set(loss, run);
    return run;
  }
}
