/** One scalar or reference of a table. `ref` values come from the builder. */
export type FlatField =
  | { slot: number; kind: "int8" | "uint8" | "bool" | "int32" | "uint32" | "float32"; value: number; fallback?: number }
  | { slot: number; kind: "ref"; value: number | null };

const SIZES = { int8: 1, uint8: 1, bool: 1, int32: 4, uint32: 4, float32: 4, ref: 4 } as const;
/** A file is at most 2 GiB: references are 32-bit. */
const MAX_BYTES = 2 ** 31 - 1;

/**
 * Writes a flatbuffer from its end to its start, as the format wants it: whatever is referred to is written first.
 * Positions are distances from the end of the buffer, so they stay valid while the buffer grows.
 */
export class FlatBuilder {
  #bytes: Uint8Array;
  #view: DataView;
  /** Bytes written. */
  #size = 0;
  #alignment = 1;
  readonly #vtables = new Map<string, number>();

  /** @param capacity - expected size in bytes; the buffer doubles where it is too small */
  constructor(capacity = 1024) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Position of the next free byte, counted from the end. */
  get #free(): number {
    return this.#bytes.length - this.#size;
  }

  #reserve(bytes: number): void {
    if (this.#size + bytes <= this.#bytes.length) return;
    const size = Math.min(Math.max(this.#bytes.length * 2, this.#size + bytes), MAX_BYTES);
    if (this.#size + bytes > size) throw new RangeError(`A flatbuffer holds at most ${MAX_BYTES} bytes.`);
    const grown = new Uint8Array(size);
    grown.set(this.#bytes.subarray(this.#free), size - this.#size);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  /** Pads so that something of `alignment` ends up aligned after `following` more bytes. */
  #align(alignment: number, following: number): void {
    this.#alignment = Math.max(this.#alignment, alignment);
    const padding = -(this.#size + following) & (alignment - 1);
    this.#reserve(padding + following);
    // Grown buffers are zero-filled and written once, so padding is zero already.
    this.#size += padding;
  }

  #push(kind: keyof typeof SIZES, value: number): void {
    const bytes = SIZES[kind];
    this.#align(bytes, bytes);
    this.#size += bytes;
    const at = this.#free;
    if (kind === "ref") this.#view.setUint32(at, this.#size - value, true);
    else if (kind === "float32") this.#view.setFloat32(at, value, true);
    else if (kind === "uint32") this.#view.setUint32(at, value, true);
    else if (kind === "int32") this.#view.setInt32(at, value, true);
    else this.#view.setUint8(at, value);
  }

  /**
   * A vector of plain values.
   * @param alignment - of the first element, counted from the start of the file
   */
  vector(bytes: Uint8Array, elementBytes: number, alignment = elementBytes): number {
    this.#align(4, bytes.length);
    this.#align(alignment, bytes.length);
    this.#size += bytes.length;
    this.#bytes.set(bytes, this.#free);
    this.#push("uint32", bytes.length / elementBytes);
    return this.#size;
  }

  /** A vector of references. */
  refs(refs: readonly number[]): number {
    this.#align(4, refs.length * 4);
    for (let i = refs.length - 1; i >= 0; i--) this.#push("ref", refs[i]!);
    this.#push("uint32", refs.length);
    return this.#size;
  }

  /** UTF-8 with a terminating zero. */
  string(text: string): number {
    const bytes = new TextEncoder().encode(text);
    this.#align(4, bytes.length + 1);
    this.#size += bytes.length + 1;
    this.#bytes.set(bytes, this.#free);
    this.#push("uint32", bytes.length);
    return this.#size;
  }

  /** A table; fields at their fallback and null references are left out. */
  table(fields: readonly FlatField[]): number {
    const present = fields.filter((field) =>
      field.kind === "ref" ? field.value !== null : field.value !== (field.fallback ?? 0),
    );
    // Large fields first: the smaller ones then need no padding between them.
    const ordered = [...present].sort((a, b) => SIZES[b.kind] - SIZES[a.kind] || a.slot - b.slot);
    const start = this.#size;
    const positions = new Map<number, number>();
    for (const { slot, kind, value } of ordered) {
      this.#push(kind, value!);
      positions.set(slot, this.#size);
    }
    this.#push("int32", 0);
    const table = this.#size;
    const slots = Math.max(-1, ...positions.keys()) + 1;
    const entries = Array.from({ length: slots }, (_, slot) => {
      const position = positions.get(slot);
      return position === undefined ? 0 : table - position;
    });
    const key = [table - start, ...entries].join(",");
    let vtable = this.#vtables.get(key);
    if (vtable === undefined) {
      const words = [4 + 2 * slots, table - start, ...entries];
      this.#align(2, 2 * words.length);
      this.#size += 2 * words.length;
      for (const [i, word] of words.entries()) this.#view.setUint16(this.#free + 2 * i, word, true);
      vtable = this.#size;
      this.#vtables.set(key, vtable);
    }
    this.#view.setInt32(this.#bytes.length - table, vtable - table, true);
    return table;
  }

  /** The finished file: root reference, identifier of four letters, everything else. */
  finish(root: number, identifier: string): Uint8Array {
    this.#align(Math.max(this.#alignment, 4), 8);
    this.#size += 4;
    for (let i = 0; i < 4; i++) this.#view.setUint8(this.#free + i, identifier.charCodeAt(i));
    this.#push("ref", root);
    return this.#bytes.subarray(this.#free);
  }
}
