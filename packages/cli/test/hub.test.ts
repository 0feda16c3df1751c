import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findHubCommand } from "@seg/model-hub";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CommandTable, isGroup } from "../src/command.js";
import { hub } from "../src/commands/hub.js";
import { runSeg } from "./run-seg.js";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "seg-hub-"));
  for (const [name, content] of [
    ["a/model.onnx", "one"],
    ["b/model.onnx", "two"],
    ["b/deep/notes.txt", "kept"],
  ] as const) {
    mkdirSync(join(directory, name, ".."), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The last line of `--json`. */
async function result(...argv: string[]) {
  const { stdout, stderr, code } = await runSeg("hub", ...argv, "--root", join(directory, "hub"), "--json");
  expect(stderr.split("\n").filter((line) => line.startsWith("error"))).toEqual([]);
  expect(code).toBe(0);
  return JSON.parse(stdout.trim().split("\n").at(-1)!);
}

describe("seg hub", () => {
  test("uploads, lists, compares, activates, rolls back, refuses and deletes versions", async () => {
    const upload = (folder: string, map50: number) =>
      result("upload", join(directory, folder), "--metric", `map50=${map50}`, "--metric=speed=7", "--model=bags");
    const a = await upload("a", 0.8);
    const b = await upload("b", 0.9);
    expect(b.files.map(({ path }: { path: string }) => path)).toEqual(["deep/notes.txt", "model.onnx"]);
    expect(b.metrics).toMatchObject({ map50: 0.9, extra: { speed: 7 } });
    const model = "--model=bags";
    expect((await result("versions", model)).versions).toMatchObject([{ version: b.version }, { version: a.version }]);
    expect((await result("compare", a.version, b.version, model, "--primary=map50")).overall).toBe("b");
    await result("activate", a.version, model);
    await result("activate", b.version, model, "--reason=better");
    expect((await result("rollback", model)).version).toBe(a.version);
    const refused = await runSeg("hub", "delete", a.version, model, "--root", join(directory, "hub"));
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("active") });
    await result("delete", b.version, model);
    const { stdout } = await runSeg("hub", "versions", model, "--root", join(directory, "hub"));
    expect(stdout).toContain(a.version);
    expect(stdout).not.toContain(b.version);
  });

  test("what is missing and what is damaged have exit codes and advice that works as it is typed", async () => {
    const usage = await runSeg("hub", "install");
    expect(usage).toMatchObject({ code: 2, stdout: "" });
    expect(usage.stderr).toBe("error: Name one model of the catalogue; see seg hub list.\n");
    expect(await runSeg("hub", "verson")).toMatchObject({ code: 2, stderr: expect.stringContaining("Did you mean") });
    const root = join(directory, "damaged");
    await runSeg("hub", "upload", join(directory, "a"), "--root", root);
    const blob = join(root, "objects", "blobs", "sha256");
    rmSync(blob, { recursive: true });
    const repair = await runSeg("hub", "repair", "--root", root, "--json");
    expect(repair.code).toBe(3);
    expect(JSON.parse(repair.stdout.trim().split("\n").at(-1)!)).toMatchObject({ type: "error", code: "INTEGRITY" });
  });

  test("every word leads to a command of seg-hub", async () => {
    const walk = async (table: CommandTable): Promise<void> => {
      for (const command of Object.values(table)) {
        if (isGroup(command)) await walk(command.subcommands);
        else {
          const { hubWords } = command as unknown as { hubWords: string };
          expect((await findHubCommand(hubWords.split(" "))).name).toBe(hubWords);
        }
      }
    };
    await walk(hub.subcommands);
  });
});
