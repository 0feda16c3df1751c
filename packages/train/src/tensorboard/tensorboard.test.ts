import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { RunDirectory } from "../run-directory.js";
import { crc32c, maskedCrc32c } from "./crc32c.js";
import { encodeEventFile } from "./event-file.js";
import { EVENT_FILE, writeTensorBoard } from "./write-tensorboard.js";

const root = mkdtempSync(join(tmpdir(), "seg-board-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

type Field = { field: number; value: number | bigint | Buffer };

/** The fields of a protobuf message, by the wire format alone. */
function fields(bytes: Buffer): Field[] {
  const result: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const field = key >> 3;
    if ((key & 7) === 0) result.push({ field, value: varint() });
    else if ((key & 7) === 1) {
      result.push({ field, value: bytes.readDoubleLE(at) });
      at += 8;
    } else if ((key & 7) === 5) {
      result.push({ field, value: bytes.readFloatLE(at) });
      at += 4;
    } else {
      const length = Number(varint());
      result.push({ field, value: bytes.subarray(at, at + length) });
      at += length;
    }
  }
  return result;
}

const all = (message: Buffer, field: number) =>
  fields(message)
    .filter((f) => f.field === field)
    .map((f) => f.value);
const one = (message: Buffer, ...path: number[]) =>
  path.reduce<number | bigint | Buffer>((value, field) => all(value as Buffer, field)[0]!, message);

/** Messages of a TFRecord file; both checksums of each are verified. */
function records(bytes: Buffer): Buffer[] {
  const result: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    expect(bytes.readUInt32LE(at + 8)).toBe(maskedCrc32c(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(bytes.readUInt32LE(at + 12 + length)).toBe(maskedCrc32c(data));
    result.push(data);
    at += 16 + length;
  }
  return result;
}

describe("TensorBoard event files", () => {
  test("CRC-32C gives the check values of RFC 3720", () => {
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    // Zero bytes: the mask alone.
    expect(maskedCrc32c(new Uint8Array(0))).toBe(0xa282ead8);
  });

  test("hold version, step, time, scalars and texts under the field numbers of TensorFlow's protocol", () => {
    const bytes = encodeEventFile([
      { step: 0, wallTime: 1.5, texts: { args: "lr: 0.1" } },
      { step: 300, wallTime: 2.5, scalars: { "train/box_loss": 0.25, "lr/pg0": 1e-3 } },
    ]);
    const [version, text, scalars] = records(Buffer.from(bytes));
    expect(String(one(version!, 3))).toBe("brain.Event:2");
    expect(one(text!, 1)).toBe(1.5);
    const value = one(text!, 5, 1) as Buffer;
    expect(String(one(value, 1))).toBe("args");
    expect(String(one(value, 9, 1, 1))).toBe("text");
    expect([one(value, 8, 1), one(value, 8, 2, 2, 1), String(one(value, 8, 8))]).toEqual([7n, 1n, "lr: 0.1"]);
    expect(one(scalars!, 2)).toBe(300n);
    const found = all(one(scalars!, 5) as Buffer, 1).map((v) => [String(one(v as Buffer, 1)), one(v as Buffer, 2)]);
    expect(found).toEqual([
      ["train/box_loss", 0.25],
      ["lr/pg0", Math.fround(1e-3)],
    ]);
  });

  test("of a run hold every column of results.csv and the preprocessing, and are the same when written again", () => {
    const run = new RunDirectory(join(root, "run"));
    run.writeArgs({ epochs: 2 });
    run.write("results.csv", "epoch,time,train/box_loss,metrics/mAP50(B)\n1,3.5,2,\n2,7,1,0.5\n");
    const preprocessing = { imgsz: 64, letterbox: { pad: 114 }, scale: "1/255" };
    writeTensorBoard(run, { preprocessing });
    const bytes = readFileSync(run.file(EVENT_FILE));
    const [, texts, first, second] = records(bytes);
    const tags = all(one(texts!, 5) as Buffer, 1).map((v) => String(one(v as Buffer, 1)));
    expect(tags).toEqual(["args", "preprocessing"]);
    expect(bytes.includes("pad: 114")).toBe(true);
    const scalarTags = (event: Buffer) => all(one(event, 5) as Buffer, 1).map((v) => String(one(v as Buffer, 1)));
    expect(scalarTags(first!)).toEqual(["train/box_loss"]);
    expect(scalarTags(second!)).toEqual(["train/box_loss", "metrics/mAP50(B)"]);
    expect([one(second!, 2), one(second!, 1)]).toEqual([2n, 7]);
    writeTensorBoard(run, { preprocessing });
    expect(readFileSync(run.file(EVENT_FILE)).equals(bytes)).toBe(true);
  });
});
