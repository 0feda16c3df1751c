import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failure } from "./playground.js";
import { runSeg, type SegRun } from "./run-seg.js";
import { writeTinyDataset } from "./tiny-dataset.js";

const PACKAGE = join(import.meta.dirname, "..");
let root: string;
let data: string;

/** `seg run` on eight images, as small as it gets: labels alone, the pico network at 64 px. */
const words = (experiment: string, ...more: string[]): string[] => [
  ...["run", "--data", data, "--output", join(root, experiment), "--split", "train:0.5,val:0.25,test:0.25"],
  ...["--teacher", "none", "--student", "yolov8p", "--student.imgsz", "64", "--student.epochs", "4"],
  ...["--student.batch", "2", "--student.no-plots", "--optimize.quantize", "none", "--evaluate.overlays", "1"],
  ...["--threads", "1", ...more],
];
const seg = (experiment: string, ...more: string[]): Promise<SegRun> => runSeg(...words(experiment, ...more));
const events = ({ stdout }: { stdout: string }): Record<string, unknown>[] =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
/** "validate kept", "plan done", in order. */
const states = (run: SegRun): string[] =>
  events(run).flatMap(({ type, name, state }) => (type === "run-step" ? [`${name} ${state}`] : []));
const bytes = (...path: string[]) => readFileSync(join(root, ...path));

/** The same in a process of its own, killed when the second epoch of the student has begun. */
function killed(experiment: string): Promise<NodeJS.Signals | null> {
  const argv = ["--conditions=@seg/source", "--import", "tsx", join(PACKAGE, "src", "bin.ts")];
  const child = spawn(process.execPath, [...argv, ...words(experiment, "--json")], {
    cwd: PACKAGE,
    stdio: ["ignore", "pipe", "ignore"],
  });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    if (/"type":"step".*"epoch":2,/.test(stdout)) child.kill("SIGKILL");
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (_, signal) => resolve(signal));
  });
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "seg-run-"));
  ({ annotations: data } = await writeTinyDataset(join(root, "dataset"), { count: 8 }));
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe("seg run", () => {
  test("killed in mid training, the same command goes on and makes the same bytes; once more keeps everything", async () => {
    const whole = await seg("whole", "--until", "train-student", "--json");
    expect(whole.code, whole.stderr).toBe(0);
    expect(await killed("broken")).toBe("SIGKILL");
    expect(existsSync(join(root, "broken", "student", "optimized"))).toBe(false);

    const resumed = await seg("broken", "--resume", "--json");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(states(resumed).filter((state) => !state.endsWith("started"))).toEqual([
      ...["validate kept", "plan kept", "train-teacher kept", "train-student resumed", "train-student done"],
      ...["optimize done", "evaluate done"],
    ]);
    const weights = ["student", "weights", "student.safetensors"];
    expect(bytes("broken", ...weights).equals(bytes("whole", ...weights))).toBe(true);
    const result = events(resumed).at(-1)!;
    expect(result).toMatchObject({ type: "result", command: "run", promptFree: true });
    expect((result["models"] as { name: string }[]).map(({ name }) => name)).toEqual(["student fp32"]);
    expect(existsSync(join(root, "broken", "report.html"))).toBe(true);

    const again = await seg("broken", "--json");
    expect(states(again).every((state) => state.endsWith("kept"))).toBe(true);
    expect(states(again)).toHaveLength(6);
  }, 600_000);

  test("--dry-run says every choice, step and file, and writes nothing", async () => {
    const dry = await seg("dry", "--dry-run");
    expect(dry.code, dry.stderr).toBe(0);
    expect(existsSync(join(root, "dry"))).toBe(false);
    expect(dry.stdout).toMatch(/student epochs +4 +you decided it; advised was \d+: a student starts from nothing/);
    expect(dry.stdout).toMatch(/1 validate, to do \(not done yet\): check .*annotations\.json/);
    expect(dry.stdout).toMatch(/3 train-teacher, to do: none: as you decided/);
    expect(dry.stdout).toMatch(/6 evaluate, to do: teacher, student and artefacts on the test split/);
    expect(dry.stdout).toContain(join(root, "dry", "report.html"));
    expect(dry.stdout).toMatch(/time +estimated +teachers 0:00, student not measured/);
  }, 180_000);

  test("a plan is written, edited by a person and carried out only when it is named", async () => {
    const planned = await seg("edited", "--until", "plan");
    expect(planned.code, planned.stderr).toBe(0);
    expect(readdirSync(join(root, "edited")).sort()).toEqual(["data", "plan.txt", "plan.yaml", "run.json"]);
    const path = join(root, "edited", "plan.yaml");
    await writeFile(path, readFileSync(path, "utf8").replace(/mosaic: 1\b/, "mosaic: 0.25"));

    expect(failure(await seg("edited", "--until", "plan"), { exit: 2 })).toBe(
      `error: ${path} was edited: add --plan ${path} to carry it out, or --from plan to let the advisor decide again.`,
    );
    const carried = await seg("edited", "--until", "plan", "--plan", path);
    expect(carried.code, carried.stderr).toBe(0);
    expect(carried.stdout).toContain("changed     mosaic: 1 -> 0.25");
    expect(readFileSync(path, "utf8")).toMatch(/mosaic: 0\.25 # you decided it; advised was 1/);
  }, 180_000);

  test("published teachers that cannot be had end with what to do instead; the steps before are kept", async () => {
    const offline = process.env["HF_HUB_OFFLINE"];
    process.env["HF_HUB_OFFLINE"] = "1";
    try {
      const line = failure(await seg("published", "--teacher", "published"));
      expect(line).toMatch(/^error: The published teachers cannot be had: grounding_dino_t could not be installed/);
      expect(line).toMatch(/--teacher embedded .* or --teacher none .*; what is done is kept\.$/);
    } finally {
      if (offline === undefined) delete process.env["HF_HUB_OFFLINE"];
      else process.env["HF_HUB_OFFLINE"] = offline;
    }
    const { steps } = JSON.parse(readFileSync(join(root, "published", "run.json"), "utf8"));
    expect([steps.plan.state, steps["train-teacher"].state]).toEqual(["done", "started"]);
  }, 120_000);

  test("wrong wishes are answered before anything is computed", async () => {
    expect(failure(await seg("none", "--resume"), { exit: 2 })).toContain("Nothing was begun in");
    expect(failure(await seg("none", "--set", "image-size=64"), { exit: 2 })).toMatch(/Did you mean image_size\?/);
    expect(failure(await seg("none", "--plan", join(root, "no.yaml")), { exit: 2 })).toContain(
      "--until plan writes one",
    );
    expect(failure(await seg("none", "--set", "optimizer=sgd"), { exit: 2 })).toContain(
      "students are always trained with AdamW",
    );
  }, 180_000);
});
