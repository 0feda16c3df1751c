import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { type CommandTable, commands, type LeafCommand, version } from "@seg/cli";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isGroup } from "../src/command.js";
import { completionModel } from "../src/completion/completion-model.js";
import { commonOptions } from "../src/help.js";
import { RUN_OPTIONS, resolveConfig } from "../src/resolve-config.js";
import { createPlayground, snapshot, writeStudent } from "./playground.js";
import { runSeg } from "./run-seg.js";

let folder: string;
const script = (shell: string) => join(folder, `seg.${shell}`);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "seg-completion-"));
  writeFileSync(join(folder, "train.json"), "{}");
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, stdout, stderr } = await runSeg("completion", shell);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    writeFileSync(script(shell), stdout);
  }
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const has = (shell: string) => spawnSync(shell, ["--version"]).error === undefined;
const lines = (text: string) => text.split("\n").filter((line) => line !== "");

/** What a shell offers for a line whose last word is being typed. */
const offers: Readonly<Record<string, (words: readonly string[]) => string[]>> = {
  bash: (words) =>
    lines(
      execFileSync(
        "bash",
        [
          ...["--norc", "-c"],
          `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _seg; printf '%s\\n' "\${COMPREPLY[@]}"`,
          ...["bash", script("bash"), ...words],
        ],
        { cwd: folder, encoding: "utf8" },
      ),
    ),
  // The widgets of zsh answer only inside its line editor: their parts are replaced by ones that print what they are given.
  zsh: (words) =>
    lines(
      execFileSync(
        "zsh",
        [
          ...["-f", "-c"],
          `compdef() { : }
           compadd() { shift; print -rl -- "$@" }
           _files() { [[ "$1" == -/ ]] && print -rl -- *(N/) || print -rl -- *(N) }
           _describe() { print -rl -- "\${(@)\${(@P)4}%%:*}" }
           source "$1"; shift; words=("$@"); CURRENT=$#; _seg`,
          ...["zsh", script("zsh"), ...words],
        ],
        { cwd: folder, encoding: "utf8" },
      ),
    ).filter((word) => word.startsWith(words.at(-1)!)),
  fish: (words) =>
    lines(
      execFileSync(
        "fish",
        ["--no-config", "-c", 'source $argv[1]; complete -C "$argv[2]"', script("fish"), words.join(" ")],
        {
          cwd: folder,
          encoding: "utf8",
          env: { ...process.env, HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
        },
      ),
    ).map((line) => line.split("\t")[0]!),
};

describe.each(Object.entries(offers))("seg completion %s", (shell, complete) => {
  const offered = (line: string) => complete(line.split(" "));

  test.skipIf(!has(shell))("offers commands, options, words, files and folders where they belong", () => {
    expect(offered("seg tra").sort()).toEqual(["train-student", "train-teacher"]);
    expect(offered("seg help opt")).toEqual(["optimize"]);
    expect(offered("seg train-student --sha")).toEqual(["--shards"]);
    expect(offered("seg train-student --student mob")).toEqual(["mobilesam"]);
    expect(offered("seg train-student --epochs 3 --student mob")).toEqual(["mobilesam"]);
    // A list goes on, one word does not.
    expect(offered("seg optimize --format onnx tens")).toEqual(["tensorrt"]);
    expect(offered("seg optimize --quantize int8 dyn")).toEqual([]);
    expect(offered("seg validate --data tr")).toEqual(["train.json"]);
    expect(offered("seg validate --output tr")).toEqual([]);
    expect(offered("seg predict --model x.onnx tr")).toEqual(["train.json"]);
    expect(offered("seg completion fi")).toEqual(["fish"]);
    // Where nothing is known nothing is offered.
    expect(offered("seg no-such-command --sha")).not.toContain("--shards");
  });
});

test("every command and option is in the model, nested ones too", async () => {
  const model = await completionModel(commands);
  const paths = model.map(({ path }) => path);
  expect(paths).toEqual([...new Set(paths)]);
  expect(paths).toEqual(expect.arrayContaining(Object.keys(commands).map((name) => `seg ${name}`)));
  const optimize = model.find(({ path }) => path === "seg optimize")!;
  expect(optimize.options.find(({ name }) => name === "--format")).toMatchObject({
    operand: { kind: "words", words: ["onnx", "tensorrt", "tflite"] },
    isList: true,
  });
  expect(optimize.options.map(({ name }) => name)).toEqual(expect.arrayContaining(["--json", "--quiet", "--help"]));
});

test("without the name of one shell it says which there are", async () => {
  for (const words of [[], ["bash", "zsh"]]) {
    const { code, stderr } = await runSeg("completion", ...words);
    expect([code, stderr]).toEqual([2, "error: seg completion takes the name of one shell: bash, zsh, fish.\n"]);
  }
});

/** Every command that does something, with its words. */
function leaves(table: CommandTable, path: readonly string[] = []): [name: string, command: LeafCommand][] {
  return Object.entries(table).flatMap(([name, command]) =>
    isGroup(command)
      ? leaves(command.subcommands, [...path, name])
      : [[[...path, name].join(" "), command] as [string, LeafCommand]],
  );
}
const own = leaves(commands).filter(([name]) => !name.startsWith("hub "));

describe.each(own)("seg %s", (name, command) => {
  test("has examples that its options accept, and help with groups and exit codes", async () => {
    const { options } = await command.load();
    expect(command.examples?.length).toBeGreaterThan(0);
    for (const example of command.examples ?? []) {
      expect(example.startsWith(name)).toBe(true);
      const argv = example
        .slice(name.length)
        .trim()
        .split(/ +/)
        .filter((word) => word !== "");
      // A saved configuration is only there after a run.
      const given = argv.filter((word, k) => word !== "--config" && argv[k - 1] !== "--config");
      const specs = argv.includes("--config")
        ? Object.fromEntries(Object.entries(options).map(([key, spec]) => [key, { ...spec, required: false }]))
        : options;
      const { positional } = resolveConfig({
        argv: given,
        specs: { ...specs, ...commonOptions },
        namespace: command.namespace,
      });
      expect(positional.length > 0).toBe(command.positional !== undefined);
    }
    const help = await runSeg(...name.split(" "), "--help");
    expect(help.code).toBe(0);
    expect(help.stdout).toContain(`\nExamples\n  seg ${command.examples![0]}\n`);
    expect(help.stdout).toContain("\nHow it runs\n");
    expect(help.stdout).toMatch(/\nExit codes\n {2}0 +done\n/);
    for (const option of Object.keys(options)) expect(help.stdout).toContain(`--${option}`);
  });
});

test("what takes long goes on after a stop, what writes can be tried dry, and all say what they do to machines", async () => {
  const having = async (option: string) => {
    const found = await Promise.all(
      own.map(async ([name, { load }]) => [name, option in (await load()).options] as const),
    );
    return found.filter(([, isThere]) => isThere).map(([name]) => name);
  };
  const writing = [
    "validate",
    "advise",
    "augment-preview",
    "train-teacher",
    "train-student",
    "optimize",
    "predict",
    "serve",
  ];
  expect(await having("dry-run")).toEqual(expect.arrayContaining(writing));
  const resumable = new Set(await having("resume"));
  expect([...resumable]).toEqual(expect.arrayContaining(["train-teacher", "train-student"]));
  const long = own.filter(([, { isStoppable, isRepeatable }]) => isStoppable && isRepeatable).map(([name]) => name);
  expect(long).toEqual(expect.arrayContaining(["run", "optimize", "serve"]));
});

describe("seg defaults", () => {
  test.each(["validate", "train-teacher", "train-student", "optimize", "evaluate"] as const)(
    "%s: every option with its explanation, which --config reads back as what holds anyway",
    async (name) => {
      const { options } = await commands[name].load();
      const { code, stdout, stderr } = await runSeg("defaults", name);
      expect([code, stderr]).toEqual([0, ""]);
      for (const option of Object.keys(options).filter((key) => !RUN_OPTIONS.has(key))) {
        expect(stdout).toMatch(new RegExp(`^(# )?${option.replaceAll(".", "\\.")}: `, "m"));
      }
      const file = join(folder, `${name}.yaml`);
      writeFileSync(file, stdout);
      const specs = Object.fromEntries(
        Object.entries(options).map(([key, spec]) => [key, { ...spec, required: false }]),
      );
      const { config: _, ...values } = resolveConfig({ argv: ["--config", file], specs }).values;
      expect(values).toEqual(resolveConfig({ argv: [], specs }).values);
    },
  );

  test("of a command without, or of none", async () => {
    expect((await runSeg("defaults", "doctor")).stderr).toBe(
      'error: "doctor" is no command with --config. See seg --help.\n',
    );
    expect((await runSeg("defaults")).stderr).toMatch(/takes the name of one command, for example/);
  });
});

test("the original design's spellings mean the same", async () => {
  const { options } = await commands["train-teacher"].load();
  const argv = [
    "--data",
    "a",
    "--output_dir",
    "b",
    "--gpu",
    "0",
    "--teacher.batch_size",
    "16",
    "--loraR",
    "8",
    "--show_manager_status",
  ];
  const { values } = resolveConfig({ argv, specs: options, namespace: "teacher" });
  expect(values).toMatchObject({ output: "b", gpu: 0, batch: 16, "lora.r": 8, "show-manager-status": true });
});

test("--version and -V are the package's", async () => {
  for (const flag of ["--version", "-V"])
    expect(await runSeg(flag)).toMatchObject({ code: 0, stdout: `${version()}\n` });
});

describe("--dry-run", () => {
  const playground = createPlayground();
  afterAll(async () => (await playground).remove());
  const dry = async (...argv: string[]) => {
    const { root } = await playground;
    const before = snapshot(root);
    const { code, stdout, stderr } = await runSeg(...argv, "--dry-run", "--json");
    expect(code, stderr).toBe(0);
    expect(snapshot(root)).toEqual(before);
    return JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
  };

  test("says who set each value, what was decided and what would be written; writes nothing", async () => {
    const { dataset, fresh, root } = await playground;
    const { annotations } = await dataset();
    const config = join(root, "mine.yaml");
    writeFileSync(config, "epochs: 7\nbatch: 4\nloss_weights: { logit: 0.1 }\n");
    const output = fresh();
    const argv = ["train-student", "--data", annotations, "--output", output, "--config", config, "--batch", "2"];
    const plan = await dry(...argv);
    expect(plan).toMatchObject({ type: "result", command: "train-student", dryRun: true });
    const settings = Object.fromEntries(plan.settings.map((s: { name: string }) => [s.name, s]));
    expect(settings["imgsz"]).toEqual({ name: "imgsz", value: 640, origin: "default", why: null });
    expect(settings["epochs"]).toEqual({ name: "epochs", value: 7, origin: "config file", why: config });
    expect(settings["loss_weights.logit"]).toMatchObject({ value: 0.1, origin: "config file" });
    expect(settings["batch"]).toEqual({ name: "batch", value: 2, origin: "command line", why: null });
    expect(settings["student"]).toMatchObject({ value: "yolov8s-seg", origin: "data" });
    expect(plan.steps).toContain("train yolov8s-seg for 7 epochs of 3 steps, 2 images each");
    expect(plan.writes.map(({ path }: { path: string }) => path)).toContain(join(output, "student.json"));
    const { stdout } = await runSeg(...argv, "--dry-run");
    expect(stdout).toMatch(/^ {2}epochs +7 +config file +\S+mine\.yaml$/m);
    expect(stdout).toMatch(/^ {2}student +yolov8s-seg +data +/m);
  });

  test("of the other commands", async () => {
    const { dataset, fresh, root } = await playground;
    const { annotations } = await dataset();
    const run = fresh();
    await writeStudent(run, relative(run, dirname(annotations)));
    const teacher = await dry("train-teacher", "--data", annotations, "--output", fresh());
    expect(teacher.decisions.map(({ what }: { what: string }) => what)).toEqual(["Grounding DINO", "SAM"]);
    const checked = fresh();
    const split = ["validate", "--data", annotations, "--split", "train:0.5,val:0.5", "--output", checked];
    const announced = (await dry(...split)).writes.map(({ path }: { path: string }) => path);
    expect((await runSeg(...split)).code).toBe(0);
    const written = readdirSync(checked).map((name) => join(checked, name));
    expect(written.length).toBeGreaterThan(4);
    expect(announced).toEqual(expect.arrayContaining(written));
    const formats = ["--format", "onnx", "tflite", "--quantize", "fp16"];
    const files = (await dry("optimize", "--model", run, ...formats)).writes.map(({ path }: { path: string }) => path);
    expect(files).toContain(join(run, "optimized", "model_fp16.tflite"));
    expect((await dry("augment-preview", "--data", annotations, "--output", join(root, "a.png"))).writes).toHaveLength(
      2,
    );
    expect((await dry("advise", "--data", annotations)).writes).toEqual([]);
    const secret = "postgres://hub:secret@127.0.0.1/hub";
    const serve = await dry("serve", "--root", fresh(), "--port", "0", "--database", secret);
    expect(JSON.stringify(serve)).not.toContain("secret");
    expect(JSON.stringify(serve)).toContain("postgres://hub:***@127.0.0.1/hub");
  });
});
