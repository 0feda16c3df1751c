import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../test/databases.js";
import { Checkpoints } from "./checkpoints.js";

describe("Checkpoints", () => {
  const root = temporaryDirectory();
  const text = async (checkpoints: Checkpoints) => {
    const { bytes, damaged } = await checkpoints.load();
    return [bytes === null ? null : Buffer.from(bytes).toString(), damaged];
  };

  test("gives back the newest and keeps two", async () => {
    const directory = join(root.path, "a");
    const checkpoints = new Checkpoints({ directory, fence: 1 });
    expect(await text(checkpoints)).toEqual([null, 0]);
    for (const content of ["one", "two", "three"]) await checkpoints.save(Buffer.from(content));
    expect(await text(checkpoints)).toEqual(["three", 0]);
    expect((await readdir(directory)).length).toBe(2);
  });
  test("passes over damaged ones", async () => {
    const directory = join(root.path, "b");
    const checkpoints = new Checkpoints({ directory, fence: 1 });
    await checkpoints.save(Buffer.from("one"));
    await checkpoints.save(Buffer.from("two"));
    const [older, newer] = (await readdir(directory)).sort();
    const content = await readFile(join(directory, newer!));
    content[content.length - 1]! ^= 1;
    await writeFile(join(directory, newer!), content);
    expect(await text(checkpoints)).toEqual(["one", 1]);
    await truncate(join(directory, older!), 10);
    expect(await text(checkpoints)).toEqual([null, 2]);
  });
  test("what a lost lease writes late does not count", async () => {
    const directory = join(root.path, "c");
    const stale = new Checkpoints({ directory, fence: 1 });
    const present = new Checkpoints({ directory, fence: 2 });
    await stale.save(Buffer.from("old"));
    await present.save(Buffer.from("new"));
    await stale.save(Buffer.from("late"));
    expect(await text(present)).toEqual(["new", 0]);
  });
});
