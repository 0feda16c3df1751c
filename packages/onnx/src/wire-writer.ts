const encoder = new TextEncoder();

/** Payloads from this size on stay separate chunks instead of being copied into the scratch block. */
const CHUNK_BYTES = 2048;

/**
 * Writes protobuf from the end to the beginning: when a message is finished its length is known, so neither a size pass nor a move is
 * needed. Callers therefore write fields in descending order and repeated fields from the last to the first.
 */
export class WireWriter {
  #block: Uint8Array;
  #view: DataView;
  /** First used byte and end of the used part of the block. */
  #position: number;
  #end: number;
  /** Finished chunks, last chunk of the message first. */
  readonly #chunks: Uint8Array[] = [];
  #flushed = 0;

  constructor(blockBytes = 65536) {
    this.#block = new Uint8Array(blockBytes);
    this.#view = new DataView(this.#block.buffer);
    this.#position = blockBytes;
    this.#end = blockBytes;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#flushed + (this.#end - this.#position);
  }

  #flush(): void {
    if (this.#position === this.#end) return;
    this.#chunks.push(this.#block.subarray(this.#position, this.#end));
    this.#flushed += this.#end - this.#position;
    this.#end = this.#position;
  }

  #reserve(count: number): void {
    if (this.#position >= count) return;
    this.#flush();
    const size = Math.max(count, Math.min(this.#block.length * 2, 1 << 22));
    this.#block = new Uint8Array(size);
    this.#view = new DataView(this.#block.buffer);
    this.#position = size;
    this.#end = size;
  }

  /** Unsigned varint of a non-negative integer below 2^53. */
  uint(value: number): void {
    this.#reserve(10);
    if (value < 0x80) {
      this.#block[--this.#position] = value;
      return;
    }
    let size = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) size++;
    this.#position -= size;
    let at = this.#position;
    let rest = value;
    while (rest >= 0x80) {
      this.#block[at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#block[at] = rest;
  }

  /** int64 varint, two's complement in 10 bytes when negative. */
  int64(value: number | bigint): void {
    if (typeof value === "number") {
      if (!Number.isSafeInteger(value)) throw new RangeError(`int64 expected, got ${value}; use a bigint beyond 2^53.`);
      if (value >= 0) {
        this.uint(value);
        return;
      }
    }
    const big = BigInt(value);
    if (big !== BigInt.asIntN(64, big)) throw new RangeError(`${big} does not fit int64.`);
    let rest = BigInt.asUintN(64, big);
    const bytes: number[] = [];
    while (rest > 0x7fn) {
      bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
    this.#reserve(10);
    this.#position -= bytes.length;
    this.#block.set(bytes, this.#position);
  }

  tag(field: number, wireType: number): void {
    this.uint(field * 8 + wireType);
  }

  /** Bytes as they are, without tag and length. Large ones are referenced, not copied. */
  raw(bytes: Uint8Array): void {
    if (bytes.length >= CHUNK_BYTES) {
      this.#flush();
      this.#chunks.push(bytes);
      this.#flushed += bytes.length;
      return;
    }
    this.#reserve(bytes.length);
    this.#position -= bytes.length;
    this.#block.set(bytes, this.#position);
  }

  bytesField(field: number, bytes: Uint8Array): void {
    this.raw(bytes);
    this.uint(bytes.length);
    this.tag(field, 2);
  }

  stringField(field: number, text: string): void {
    const { length } = text;
    if (length < CHUNK_BYTES) {
      this.#reserve(length);
      const block = this.#block;
      let at = this.#position;
      let i = length - 1;
      for (; i >= 0; i--) {
        const code = text.charCodeAt(i);
        if (code > 0x7f) break;
        block[--at] = code;
      }
      if (i < 0) {
        this.#position = at;
        this.uint(length);
        this.tag(field, 2);
        return;
      }
    }
    this.bytesField(field, encoder.encode(text));
  }

  intField(field: number, value: number | bigint): void {
    this.int64(value);
    this.tag(field, 0);
  }

  floatBits(value: number): void {
    this.#reserve(4);
    this.#position -= 4;
    this.#view.setFloat32(this.#position, value, true);
  }

  /** Closes a length-delimited field whose content was written since `mark`, a former {@link length}. */
  close(field: number, mark: number): void {
    this.uint(this.length - mark);
    this.tag(field, 2);
  }

  /** The message as chunks in file order; large payloads are the caller's own arrays. */
  chunks(): Uint8Array[] {
    this.#flush();
    return this.#chunks.toReversed();
  }
}
