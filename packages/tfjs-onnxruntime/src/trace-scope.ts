import { EngineError, type EngineErrorCode } from "./errors.js";
import type { HostData, Value } from "./graph.js";
import { captureStack } from "./source.js";

/** What happens while a function is traced: which data it makes, which it takes from outside, what it does beside computing. */
export class TraceScope {
  readonly #code: EngineErrorCode & `${string}_DATA_DEPENDENT`;
  readonly #watch: number;
  /** Host data made inside, in order: constants of every later call. */
  readonly writes: Value[] = [];
  readonly #written = new Set<Value>();
  /** Values of tensors that existed before, with their data ids. */
  readonly captures = new Map<Value, object>();
  /** Values that are filled on the host with every call, in order of creation. */
  readonly generated: Value[] = [];
  /** Callbacks to repeat with every call; see {@link effect}. */
  readonly effects: (() => void)[] = [];
  /** Line that made the write number `watch`. */
  watched: string | null = null;

  /**
   * @param code - of the error when a value is read
   * @param watch - number of the write whose source line to keep @defaultValue none
   */
  constructor(code: EngineErrorCode & `${string}_DATA_DEPENDENT`, watch = -1) {
    this.#code = code;
    this.#watch = watch;
  }

  written(value: Value): void {
    if (this.writes.length === this.#watch) this.watched = captureStack();
    this.writes.push(value);
    this.#written.add(value);
  }

  /** Notes a tensor that a kernel reads. */
  read(value: Value, dataId: object): void {
    if (value.host !== null && !this.#written.has(value)) this.captures.set(value, dataId);
  }

  /** Whether the data is the same in every call: made inside, from nothing. */
  isConstant(value: Value): boolean {
    return value.host !== null && this.#written.has(value);
  }

  dataDependent(): EngineError {
    return new EngineError({
      code: this.#code,
      source: captureStack(),
      message: "A value was read (data(), dataSync(), array(), print()) inside a traced function.",
      hint: "Compute with tensors only; read what the function returns.",
    });
  }

  /** A kernel that the cpu backend would have to compute. */
  delegated(op: string, shapes: readonly (readonly number[])[]): EngineError {
    return new EngineError({
      code: this.#code,
      op,
      shapes,
      source: captureStack(),
      message: `Kernel ${op} runs on the cpu backend and needs values, which a traced function does not have.`,
      hint: "Compute it outside, and pass the result as an argument.",
    });
  }

  /** Number of the first write whose bytes differ from those of another trace of the same function, or null. */
  firstDifference(other: TraceScope): number | null {
    const count = Math.max(this.writes.length, other.writes.length);
    for (let i = 0; i < count; i++) {
      const a = this.writes[i]?.host ?? null;
      const b = other.writes[i]?.host ?? null;
      if (a === null || b === null || !sameBytes(a, b)) return i;
    }
    return null;
  }
}

function sameBytes(a: HostData, b: HostData): boolean {
  if (a === b) return true;
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: HostData) => Buffer.from(buffer, byteOffset, byteLength);
