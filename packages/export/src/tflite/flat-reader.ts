import { ExportError } from "../errors.js";

/** A table that was found: where it begins, and where its fields begin. */
export interface FlatTable {
  at: number;
  /** Absolute position of a field; 0 for an absent one. */
  field(slot: number): number;
}

/** A vector that was found: position of its first element and its length. */
export interface FlatVector {
  at: number;
  length: number;
}

/**
 * Reads a flatbuffer with every position checked against the file.
 *
 * References may point anywhere, so a small file can name the same table a million times. The number of tables and of vector elements that are
 * looked at is therefore limited by the size of the file, which bounds time and memory: a table that nobody shares takes at least four bytes.
 */
export class FlatReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #tables: number;
  #elements: number;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#tables = Math.floor(bytes.length / 4);
    this.#elements = bytes.length;
  }

  fail(offset: number, reason: string): never {
    throw new ExportError({
      code: "MALFORMED_TFLITE",
      message: `Malformed TFLite model at byte ${offset}: ${reason}. The file is damaged, cut short or no TFLite model.`,
      details: { offset },
    });
  }

  #check(at: number, bytes: number, what: string): void {
    if (!(at >= 0 && at + bytes <= this.bytes.length)) this.fail(at, `${what} lies outside the file`);
  }

  int8(at: number): number {
    this.#check(at, 1, "a byte");
    return this.#view.getInt8(at);
  }

  uint8(at: number): number {
    this.#check(at, 1, "a byte");
    return this.#view.getUint8(at);
  }

  int32(at: number): number {
    this.#check(at, 4, "a number");
    return this.#view.getInt32(at, true);
  }

  uint32(at: number): number {
    this.#check(at, 4, "a number");
    return this.#view.getUint32(at, true);
  }

  float32(at: number): number {
    this.#check(at, 4, "a number");
    return this.#view.getFloat32(at, true);
  }

  /** int64 as a number; exact up to 2^53. */
  int64(at: number): number {
    this.#check(at, 8, "a number");
    return Number(this.#view.getBigInt64(at, true));
  }

  /** Follows the reference at `at`. */
  ref(at: number): number {
    const distance = this.uint32(at);
    if (distance === 0) this.fail(at, "a reference points at itself");
    this.#check(at + distance, 4, "what a reference points at");
    return at + distance;
  }

  /** The table at `at`. */
  table(at: number): FlatTable {
    if (this.#tables-- <= 0) this.fail(at, "tables are shared more often than the file is long");
    const vtable = at - this.int32(at);
    this.#check(vtable, 4, "a field list");
    const vtableBytes = this.#view.getUint16(vtable, true);
    this.#check(vtable, vtableBytes, "a field list");
    return {
      at,
      field: (slot) => {
        const entry = 4 + 2 * slot;
        if (entry + 2 > vtableBytes) return 0;
        const offset = this.#view.getUint16(vtable + entry, true);
        return offset === 0 ? 0 : at + offset;
      },
    };
  }

  /** Vector that a field refers to; empty for an absent field. */
  vector(field: number, elementBytes: number): FlatVector {
    if (field === 0) return { at: 0, length: 0 };
    const at = this.ref(field);
    const length = this.uint32(at);
    this.#check(at + 4, length * elementBytes, `a vector of ${length} elements`);
    return { at: at + 4, length };
  }

  /** Counts elements that will become objects or numbers of their own. */
  spend({ at, length }: FlatVector): void {
    this.#elements -= length;
    if (this.#elements < 0) this.fail(at, "vectors are shared more often than the file is long");
  }

  /** Tables of a vector of references. */
  tables(field: number): FlatTable[] {
    const vector = this.vector(field, 4);
    this.spend(vector);
    return Array.from({ length: vector.length }, (_, i) => this.table(this.ref(vector.at + 4 * i)));
  }

  /** Numbers of a vector. */
  numbers(field: number, kind: "int32" | "float32" | "int64"): number[] {
    const size = kind === "int64" ? 8 : 4;
    const vector = this.vector(field, size);
    this.spend(vector);
    return Array.from({ length: vector.length }, (_, i) => this[kind](vector.at + size * i));
  }

  /** Text that a field refers to; "" for an absent field. Broken UTF-8 becomes U+FFFD. */
  string(field: number): string {
    const vector = this.vector(field, 1);
    this.spend(vector);
    return new TextDecoder().decode(this.bytes.subarray(vector.at, vector.at + vector.length));
  }
}
