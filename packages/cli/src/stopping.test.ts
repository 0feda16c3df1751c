import { spawn } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import type { LeafCommand } from "./command.js";
import { describeStop, shellWord } from "./stopping.js";

const command: LeafCommand = { summary: "", load: () => Promise.reject(new Error("not loaded")) };
const resume = { resume: { type: "boolean", help: "" } } as const;

describe("describeStop", () => {
  test("the same words with --resume, once, in whatever spelling", () => {
    const stop = (...argv: string[]) => describeStop({ argv, command, specs: resume });
    expect(stop("train-student", "--data", "my data.json")).toEqual({
      message: "stopped; what was done is saved. Go on with: seg train-student --data 'my data.json' --resume",
      goOn: "seg train-student --data 'my data.json' --resume",
    });
    expect(stop("train-student", "--resume=true").goOn).toBe("seg train-student --resume=true");
  });

  test("the same words where the command goes on by itself, and where it begins again", () => {
    const stop = (isRepeatable: boolean) =>
      describeStop({ argv: ["run", "--data", "a"], command: { ...command, isRepeatable }, specs: {} }).message;
    expect(stop(true)).toBe("stopped; finished parts are kept. The same goes on: seg run --data a");
    expect(stop(false)).toBe("stopped; nothing half done was kept. Once more: seg run --data a");
  });
});

test("shellWord quotes what a shell would take apart", () => {
  expect(["a/b.json", "--x=1,2", "it's", "", "$HOME"].map(shellWord)).toEqual([
    ...["a/b.json", "--x=1,2", String.raw`'it'\''s'`, "''", "'$HOME'"],
  ]);
});

// Windows has no signals that a handler could be asked about.
test.skipIf(process.platform === "win32")(
  "a second Ctrl-C ends the process while it computes",
  async () => {
    const program = `
    import { onceInterrupted } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, "stopping.ts")).href)};
    onceInterrupted(() => { process.stdout.write("stopping"); for (;;); });
    setInterval(() => {}, 1000);
    process.stdout.write("ready");
  `;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
      cwd: join(import.meta.dirname, ".."),
      stdio: ["ignore", "pipe", "inherit"],
    });
    const said: string[] = [];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said.push(text);
      child.kill("SIGINT");
    });
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((ended, reject) => {
      child.on("error", reject);
      child.on("close", (...end) => ended(end));
    });
    expect(said).toEqual(["ready", "stopping"]);
    // A shell reports 130 for it.
    expect([code, signal]).toEqual([null, "SIGINT"]);
  },
  60_000,
);
