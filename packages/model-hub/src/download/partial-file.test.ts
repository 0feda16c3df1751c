import { constants } from "node:fs";
import { mkdtemp, open as openFile, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../internal/clock.js";
import { pageAlignedMemory } from "../internal/page-aligned-memory.js";
import { type OpenFile, PartialFile } from "./partial-file.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "partial-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const LENGTH = 70_001;
const content = (memory: SharedArrayBuffer | ArrayBuffer): Uint8Array<ArrayBufferLike> =>
  new Uint8Array(memory, 0, LENGTH).map((_, i) => (i * 7 + (i >> 8)) & 255);

/** Writes whole blocks, a piece that ends in the middle of one, and the rest. */
async function write(memory: SharedArrayBuffer | ArrayBuffer, open: OpenFile): Promise<{ isRight: boolean }> {
  const bytes = new Uint8Array(memory, 0, LENGTH);
  bytes.set(content(memory));
  const file = await PartialFile.open({ directory, name: "model", clock: systemClock, open });
  await file.bypassCache();
  const ends = [0, 8192, 16_384, 20_000, 24_576, 65_536, LENGTH];
  await Promise.all(ends.slice(1).map((end, i) => file.write(bytes.subarray(ends[i], end), ends[i]!)));
  const path = join(directory, "model");
  await file.publish(path);
  return { isRight: (await readFile(path)).equals(Buffer.from(bytes)) };
}

const isDirect = (flags: string | number) => ((constants.O_DIRECT ?? 0) & Number(flags)) !== 0;
const fails = () => Promise.reject(Object.assign(new Error("EINVAL: invalid argument, write"), { code: "EINVAL" }));

describe("PartialFile.bypassCache", () => {
  test("whole blocks from aligned memory and the rest end as one file", async () => {
    expect(await write(pageAlignedMemory(LENGTH), openFile)).toEqual({ isRight: true });
  });

  test("memory that begins anywhere is written too", async () => {
    expect(await write(new ArrayBuffer(LENGTH), openFile)).toEqual({ isRight: true });
  });

  test.each([
    ["to open", async (path: string, flags: string | number) => (isDirect(flags) ? fails() : openFile(path, flags))],
    [
      "to write",
      async (path: string, flags: string | number) => {
        const file = await openFile(path, flags);
        return isDirect(flags) ? Object.assign(file, { write: fails }) : file;
      },
    ],
  ])("a file system that refuses %s past the cache is written through it", async (_, open) => {
    expect(await write(pageAlignedMemory(LENGTH), open)).toEqual({ isRight: true });
  });

  test("a full disk is no reason to write through the cache", async () => {
    const full: OpenFile = async (path, flags) => {
      const file = await openFile(path, flags);
      const refuse = () => Promise.reject(Object.assign(new Error("ENOSPC"), { code: "ENOSPC" }));
      return isDirect(flags) || constants.O_DIRECT === undefined ? Object.assign(file, { write: refuse }) : file;
    };
    await expect(write(pageAlignedMemory(LENGTH), full)).rejects.toMatchObject({ code: "ENOSPC" });
  });
});

test("pageAlignedMemory rounds up and is shared", () => {
  const memory = pageAlignedMemory(1);
  expect(memory).toBeInstanceOf(SharedArrayBuffer);
  expect(memory.byteLength).toBe(1 << 16);
});
