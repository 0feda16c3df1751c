import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryDirectory } from "../../test/databases.js";
import { civitaiHashes } from "./civitai-hashes.js";

const directory = temporaryDirectory();
const hashesOf = async (bytes: Uint8Array) => {
  const path = join(directory.path, "file");
  await writeFile(path, bytes);
  return civitaiHashes({ path });
};
const HEADER = '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
const safetensors = (header: string, payload: Buffer): Buffer => {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  return Buffer.concat([length, Buffer.from(header), payload]);
};
const FLOATS = Buffer.from(new Float32Array([1, 2]).buffer);

test("the golden values of the specification", async () => {
  expect(await hashesOf(Buffer.from({ length: 2 << 20 } as ArrayLike<number>).map((_, i) => i % 251))).toMatchObject({
    bytes: 2 << 20,
    autoV1: "15ffd73b",
    autoV2: "1e075c8d47",
    autoV3: null,
  });
  const small = safetensors(HEADER, FLOATS);
  expect(small.length).toBe(70);
  expect(await hashesOf(small)).toMatchObject({ bytes: 70, autoV1: null, autoV3: "b9c80b5adeca" });
  expect((await hashesOf(Buffer.from("hello\n"))).sha256).toBe(
    "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
  );
});

test("an empty file and a half header are no safetensors", async () => {
  expect(await hashesOf(Buffer.alloc(0))).toMatchObject({ bytes: 0, autoV1: null, autoV3: null });
  expect((await hashesOf(safetensors(HEADER, FLOATS).subarray(0, 40))).autoV3).toBeNull();
});

test("the tensors keep their hash when the header changes, wherever chunks end", async () => {
  // Over two chunks of a mebibyte.
  const payload = Buffer.alloc((2 << 20) + 77, "tensor");
  const plain = await hashesOf(safetensors(HEADER, payload));
  const noted = await hashesOf(safetensors(HEADER.replace("{", '{"__metadata__":{"by":"me"},'), payload));
  expect(noted.autoV3).toBe(plain.autoV3);
  expect(plain.autoV3).toBe(createHash("sha256").update(payload).digest("hex").slice(0, 12));
  expect(noted.autoV2).not.toBe(plain.autoV2);
});
