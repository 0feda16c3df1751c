import { Buffer, Counter, type Module, Parameter } from "@seg/nn";

type Leaf = Parameter | Buffer | Counter;
type Values = Map<Leaf, Float32Array | number>;

/** Values of every persistent tensor of `module`, copies. */
function capture(module: Module): Values {
  const result: Values = new Map();
  for (const [, leaf] of module.namedLeaves()) {
    if (leaf instanceof Counter) result.set(leaf, leaf.value);
    else if (leaf instanceof Parameter || leaf.persistent) result.set(leaf, Float32Array.from(leaf.data()));
  }
  return result;
}

function restore(values: Values): void {
  for (const [leaf, value] of values) {
    if (leaf instanceof Counter) leaf.value = value as number;
    else leaf.assign(Float32Array.from(value as Float32Array));
  }
}

/**
 * A module that trains in full beside an adapter (`modules_to_save`). It trains in place, so compiled graphs keep their variables; the
 * pristine values and those of inactive adapters are kept aside and put back when another state is asked for.
 */
export class SavedModule {
  readonly path: string;
  readonly module: Module;
  readonly #pristine: Values;
  /** Values by adapter, for all but the one in place. */
  readonly #kept = new Map<string, Values>();
  /** Adapter whose values are in place; null: the pristine ones. */
  #current: string | null = null;

  constructor(path: string, module: Module) {
    this.path = path;
    this.module = module;
    this.#pristine = capture(module);
  }

  /** Registers an adapter that begins with the pristine values. */
  add(adapter: string): void {
    this.#kept.set(adapter, this.#pristine);
  }

  has(adapter: string): boolean {
    return this.#kept.has(adapter);
  }

  /** Puts the values of `adapter` in place; null, or an adapter that does not train this module: the pristine ones. */
  use(adapter: string | null): void {
    const next = adapter !== null && this.#kept.has(adapter) ? adapter : null;
    if (next === this.#current) return;
    if (this.#current !== null) this.#kept.set(this.#current, capture(this.module));
    restore(next === null ? this.#pristine : this.#kept.get(next)!);
    this.#current = next;
  }

  /** The pristine value of a leaf below this module. */
  pristineOf(leaf: Leaf): Float32Array | number | undefined {
    return this.#pristine.get(leaf);
  }

  /** Persistent leaves by path below the model. */
  *leaves(): Generator<[path: string, leaf: Leaf]> {
    for (const [name, leaf] of this.module.namedLeaves()) {
      if (leaf instanceof Buffer && !leaf.persistent) continue;
      yield [`${this.path}.${name}`, leaf];
    }
  }
}
