import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { version } from "@seg/cli";
import { expect, test } from "vitest";

const PACKAGE = join(import.meta.dirname, "..");
const NODE = ["--conditions=@seg/source", "--import", "tsx", join(PACKAGE, "src", "bin.ts")];
/** The program itself, in a process of its own. */
const seg = (...argv: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...NODE, ...argv], {
    cwd: PACKAGE,
    encoding: "utf8",
  });
  return [status, stdout, stderr];
};

test("the process ends with the documented codes and keeps its streams apart", () => {
  expect(seg("--version")).toEqual([0, `${version()}\n`, ""]);
  expect(seg("trian-student", "--json")).toEqual([
    2,
    '{"type":"error","code":"cli/usage","message":"Unknown command \\"trian-student\\". Did you mean \\"train-student\\"? seg --help lists them."}\n',
    'error: Unknown command "trian-student". Did you mean "train-student"? seg --help lists them.\n',
  ]);
}, 60_000);

test.skipIf(process.platform === "win32")(
  "a reader that goes away ends it without a word",
  async () => {
    const child = spawn(process.execPath, [...NODE, "--help"], { cwd: PACKAGE, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.destroy();
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    const code = await new Promise((ended) => child.on("close", ended));
    expect([code, stderr]).toEqual([141, ""]);
  },
  60_000,
);
