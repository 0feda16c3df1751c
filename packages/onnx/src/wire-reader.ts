import { MalformedProtobufError } from "./errors.js";

/** Wire types of protobuf that ONNX uses; 3 and 4 (groups) are rejected. */
export const WireType = { VARINT: 0, FIXED64: 1, BYTES: 2, FIXED32: 5 } as const;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Cursor over protobuf bytes. Every read checks the end, so truncated input ends in a {@link MalformedProtobufError}. */
export class WireReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  position: number;
  end: number;
  /** Start of the tag that {@link next} read last. */
  tagStart = 0;
  field = 0;
  wireType = 0;

  constructor(bytes: Uint8Array) {
    // Views of a Buffer would be Buffers, whose slice() does not copy.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = 0;
    this.end = bytes.length;
  }

  fail(reason: string, offset = this.position): never {
    throw new MalformedProtobufError({ offset, reason });
  }

  /** Reads the next tag into `field` and `wireType`; false at the end of the current message. */
  next(): boolean {
    if (this.position >= this.end) return false;
    this.tagStart = this.position;
    const tag = this.uint();
    this.field = Math.floor(tag / 8);
    this.wireType = tag % 8;
    if (tag > 0xffffffff || this.field === 0) this.fail(`invalid tag ${tag}`, this.tagStart);
    if (this.wireType === 3 || this.wireType === 4) this.fail(`group (field ${this.field})`, this.tagStart);
    if (this.wireType > 5) this.fail(`wire type ${this.wireType}`, this.tagStart);
    return true;
  }

  /** Unsigned varint that fits a double exactly (tags and lengths). */
  uint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      if (this.position >= this.end) this.fail("varint cut short");
      const byte = this.bytes[this.position++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    return this.fail("varint too large for a tag or length");
  }

  /** int64 varint (two's complement): a number if |value| < 2^53, otherwise a bigint. */
  int64(): number | bigint {
    let low = 0;
    let high = 0;
    for (let i = 0; i < 10; i++) {
      if (this.position >= this.end) this.fail("varint cut short");
      const byte = this.bytes[this.position++]!;
      const bits = byte & 0x7f;
      if (i < 4) low |= bits << (7 * i);
      else if (i === 4) {
        low |= bits << 28;
        high |= bits >> 4;
      } else high |= bits << (7 * i - 32);
      if (byte < 0x80) {
        const value = high * 4294967296 + (low >>> 0);
        return Number.isSafeInteger(value) ? value : (BigInt(high) << 32n) | BigInt(low >>> 0);
      }
    }
    return this.fail("varint longer than 10 bytes");
  }

  /** int64 that must fit a double exactly, such as a dimension. */
  safeInteger(): number {
    const start = this.position;
    const value = this.int64();
    return typeof value === "number" ? value : this.fail(`${value} is beyond 2^53`, start);
  }

  float(): number {
    this.need(4);
    const value = this.#view.getFloat32(this.position, true);
    this.position += 4;
    return value;
  }

  need(count: number): void {
    if (count > this.end - this.position)
      this.fail(`${count} bytes expected, ${this.end - this.position} left in the message`);
  }

  /** A length-delimited payload as a view, not a copy. */
  data(): Uint8Array {
    const length = this.uint();
    this.need(length);
    const start = this.position;
    this.position += length;
    return this.bytes.subarray(start, this.position);
  }

  string(): string {
    const length = this.uint();
    this.need(length);
    const start = this.position;
    const text = this.textAt(start, length);
    this.position = start + length;
    return text ?? this.fail("text is not valid UTF-8", start);
  }

  /** UTF-8 text, or null if the bytes are no UTF-8. */
  textAt(start: number, length: number): string | null {
    const { bytes } = this;
    const end = start + length;
    if (length < 64) {
      // Names are short and ASCII: this is several times faster than TextDecoder.
      let text = "";
      let i = start;
      for (; i < end; i++) {
        const code = bytes[i]!;
        if (code > 0x7f) break;
        text += String.fromCharCode(code);
      }
      if (i === end) return text;
    }
    try {
      return utf8.decode(bytes.subarray(start, end));
    } catch {
      return null;
    }
  }

  /** Skips the payload of the current field. */
  skip(): void {
    switch (this.wireType) {
      case WireType.VARINT:
        this.int64();
        return;
      case WireType.FIXED64:
        this.need(8);
        this.position += 8;
        return;
      case WireType.BYTES: {
        const length = this.uint();
        this.need(length);
        this.position += length;
        return;
      }
      default:
        this.need(4);
        this.position += 4;
    }
  }

  /** The current field in wire form, tag included, as a view; moves behind it. */
  raw(): Uint8Array {
    this.skip();
    return this.bytes.subarray(this.tagStart, this.position);
  }

  /** Runs `read` inside the length-delimited message that starts here. */
  message<T>(read: (reader: WireReader) => T): T {
    const length = this.uint();
    this.need(length);
    const outer = this.end;
    this.end = this.position + length;
    const result = read(this);
    this.position = this.end;
    this.end = outer;
    return result;
  }
}
