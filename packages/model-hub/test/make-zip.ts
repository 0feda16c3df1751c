import { crc32, deflateRawSync } from "node:zlib";

/** One entry of {@link makeZip}. */
export interface ZipEntry {
  readonly name: string;
  readonly content: Uint8Array | string;
  /** Unix mode, for links. */
  readonly mode?: number;
  /** Size that the headers claim instead of the real one. */
  readonly claimedSize?: number;
}

/** A zip archive, entry by entry as given: names and sizes may be as wrong as a test needs them. */
export function makeZip(entries: readonly ZipEntry[]): Buffer {
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const { name, content, mode = 0o100644, claimedSize } of entries) {
    const bytes = Buffer.from(content as string);
    const packed = deflateRawSync(bytes);
    const file = Buffer.from(name);
    const shared = Buffer.alloc(26);
    shared.writeUInt16LE(20, 0);
    shared.writeUInt16LE(0x800, 2);
    shared.writeUInt16LE(8, 4);
    shared.writeUInt32LE(crc32(bytes), 10);
    shared.writeUInt32LE(packed.length, 14);
    shared.writeUInt32LE(claimedSize ?? bytes.length, 18);
    shared.writeUInt16LE(file.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), shared, file, packed]);
    const record = Buffer.alloc(20);
    record.writeUInt32LE(((mode << 16) >>> 0) as number, 10);
    record.writeUInt32LE(offset, 14);
    central.push(
      Buffer.concat([
        Buffer.from("PK\x01\x02", "latin1"),
        // Made on Unix, so that the mode counts.
        Buffer.from([20, 3]),
        shared.subarray(0, 26),
        record.subarray(4, 18),
        file,
      ]),
    );
    parts.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", 0, "latin1");
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, directory, end]);
}
