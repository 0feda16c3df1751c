import { maskedCrc32c } from "./crc32c.js";

/** Scalars and texts of one moment. */
export interface BoardEvent {
  readonly step: number;
  /** Seconds; TensorBoard shows differences as relative time. */
  readonly wallTime: number;
  readonly scalars?: Readonly<Record<string, number>>;
  /** Markdown by tag. */
  readonly texts?: Readonly<Record<string, string>>;
}

/** DT_STRING of TensorFlow's types.proto. */
const STRING_TYPE = 7;

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest >= 128n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}

const integer = (field: number, value: number): Uint8Array =>
  Uint8Array.from([...varint(field << 3), ...varint(value)]);

function fixed(field: number, value: number, size: 4 | 8): Uint8Array {
  const bytes = Buffer.alloc(size);
  if (size === 4) bytes.writeFloatLE(value);
  else bytes.writeDoubleLE(value);
  return Buffer.concat([Uint8Array.from(varint((field << 3) | (size === 4 ? 5 : 1))), bytes]);
}

function block(field: number, content: Uint8Array | string): Uint8Array {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  return Buffer.concat([Uint8Array.from([...varint((field << 3) | 2), ...varint(bytes.length)]), bytes]);
}

const message = (...parts: Uint8Array[]): Uint8Array => Buffer.concat(parts);

// Field numbers of tensorflow/core/util/event.proto, framework/summary.proto and framework/tensor.proto.
const scalarValue = (tag: string, value: number): Uint8Array => block(1, message(block(1, tag), fixed(2, value, 4)));

function textValue(tag: string, text: string): Uint8Array {
  const shape = block(2, block(2, integer(1, 1)));
  const tensor = block(8, message(integer(1, STRING_TYPE), shape, block(8, text)));
  const metadata = block(9, block(1, block(1, "text")));
  return block(1, message(block(1, tag), tensor, metadata));
}

function encodeEvent({ step, wallTime, scalars = {}, texts = {} }: BoardEvent): Uint8Array {
  const values = [
    ...Object.entries(scalars).map(([tag, value]) => scalarValue(tag, value)),
    ...Object.entries(texts).map(([tag, text]) => textValue(tag, text)),
  ];
  return message(fixed(1, wallTime, 8), integer(2, step), block(5, message(...values)));
}

/** One TFRecord: length, its checksum, data, its checksum; little-endian. */
function record(data: Uint8Array): Uint8Array {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(data.length));
  const sum = (bytes: Uint8Array) => {
    const result = Buffer.alloc(4);
    result.writeUInt32LE(maskedCrc32c(bytes));
    return result;
  };
  return Buffer.concat([length, sum(length), data, sum(data)]);
}

/** Bytes of a TensorBoard event file; the same events give the same bytes. */
export function encodeEventFile(events: readonly BoardEvent[]): Uint8Array {
  const version = record(message(fixed(1, events[0]?.wallTime ?? 0, 8), block(3, "brain.Event:2")));
  return Buffer.concat([version, ...events.map((event) => record(encodeEvent(event)))]);
}
