import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../../..");
let checkout: string;
beforeAll(() => {
  checkout = mkdtempSync(join(tmpdir(), "seg-release-"));
  cpSync(join(root, "scripts", "release.mjs"), join(checkout, "scripts", "release.mjs"));
  cpSync(join(root, "scripts", "stamp-repository.mjs"), join(checkout, "scripts", "stamp-repository.mjs"));
  mkdirSync(join(checkout, ".changeset"));
  mkdirSync(join(checkout, "packages", "nn"), { recursive: true });
});
afterAll(() => rmSync(checkout, { recursive: true, force: true }));

const manifest = { name: "@seg/nn", version: "0.2.0", license: "Apache-2.0", type: "module" };
const file = () => join(checkout, "packages", "nn", "package.json");
const write = (content: object) => writeFileSync(file(), JSON.stringify(content));
const script = (name: string, args: readonly string[], env: Record<string, string> = {}) =>
  spawnSync(process.execPath, [join(checkout, "scripts", name), ...args], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"] ?? "", ...env },
  });

describe("stamp-repository", () => {
  test("writes where the repository is, after the licence, as often as it is called", () => {
    write(manifest);
    script("stamp-repository.mjs", ["https://old.example/o/seg"]);
    expect(script("stamp-repository.mjs", ["https://code.example/o/seg"]).status).toBe(0);
    expect(Object.entries(JSON.parse(readFileSync(file(), "utf8")))).toEqual([
      ["name", "@seg/nn"],
      ["version", "0.2.0"],
      ["license", "Apache-2.0"],
      ["repository", { type: "git", url: "git+https://code.example/o/seg.git", directory: "packages/nn" }],
      ["homepage", "https://code.example/o/seg/tree/main/packages/nn#readme"],
      ["bugs", "https://code.example/o/seg/issues"],
      ["type", "module"],
    ]);
  });
  test.each(["", "seg", "http://code.example/o/seg", "https://code.example/seg", "https://code.example/o/seg.git"])(
    "refuses %j",
    (address) => {
      write(manifest);
      const { status, stderr } = script("stamp-repository.mjs", [address]);
      expect(status).toBe(2);
      expect(stderr).toContain("is not the address of a repository");
      expect(JSON.parse(readFileSync(file(), "utf8"))).toEqual(manifest);
    },
  );
});

describe("a release is refused", () => {
  const note = () => join(checkout, ".changeset", "note.md");
  const stamped = { ...manifest, repository: { type: "git" } };

  test("while a changeset is in no version", () => {
    write(stamped);
    writeFileSync(note(), "---\n---\n");
    const { status, stderr } = script("release.mjs", []);
    rmSync(note());
    expect([status, stderr]).toEqual([1, expect.stringContaining("1 changesets are not in a version yet")]);
  });
  test("while packages do not say where they come from", () => {
    write(manifest);
    const { status, stderr } = script("release.mjs", []);
    expect([status, stderr]).toEqual([1, expect.stringContaining("stamp-repository.mjs")]);
  });
  test("without a change log", () => {
    write(stamped);
    const { status, stderr } = script("release.mjs", []);
    expect([status, stderr]).toEqual([1, expect.stringContaining("@seg/nn have no CHANGELOG.md")]);
  });
  test("under a tag of another version", () => {
    write(stamped);
    const log = join(checkout, "packages", "nn", "CHANGELOG.md");
    writeFileSync(log, "# @seg/nn\n");
    const { status, stderr } = script("release.mjs", [], { GITHUB_REF_TYPE: "tag", GITHUB_REF_NAME: "v0.3.0" });
    expect([status, stderr]).toEqual([1, expect.stringContaining("tag the commit v0.2.0")]);
  });
});
