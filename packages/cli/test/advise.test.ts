import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { createPlayground, failure } from "./playground.js";
import { runSeg } from "./run-seg.js";

const { fresh, dataset, remove } = await createPlayground();
const good = await dataset();
afterAll(remove);

const advise = (...words: string[]) => runSeg("advise", "--data", good.annotations, ...words);

describe("seg advise", () => {
  test("says in words what to train, and writes the plan", async () => {
    const directory = fresh();
    const { code, stdout } = await advise("--explain", "detailed", "--memory-gb", "4", "--output", directory);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^yolov8n-seg at \d+ px taught by grounding-dino-tiny and sam-vit-l/);
    expect(stdout).toContain("What would change a choice");
    const { plan, fingerprint } = JSON.parse(readFileSync(join(directory, "plan.json"), "utf8"));
    expect(plan.choices).toMatchObject({ student: "yolov8n-seg", mask_teacher: "sam-vit-l" });
    expect(fingerprint).toMatchObject({ classes: 2, appearance: { images: expect.any(Number) } });
    expect(stdout).toContain(readFileSync(join(directory, "plan.txt"), "utf8").trim());
  });

  test("what a person decides stands; machines get the plan as JSON", async () => {
    const { stdout } = await advise("--set", "student=yolov8m-seg", "image_size=512", "ema=false", "--json");
    const result = JSON.parse(stdout.trim().split("\n").at(-1)!);
    expect(result.plan.choices).toMatchObject({ student: "yolov8m-seg", image_size: 512, ema: false });
  });

  test("adapters are compared by words, or by the text encoder that is named; the answer says which", async () => {
    const directory = fresh();
    mkdirSync(directory);
    const file = join(directory, "adapters.json");
    const loved = { downloads: 999_999 };
    const dents = { id: "dents", name: "d", description: "crack and hole", ...loved };
    const circles = { id: "circles", name: "c", description: "green circle", ...loved };
    writeFileSync(file, JSON.stringify({ hits: [circles, dents] }));
    const ask = ["--adapters", file, "--task", "dent"];
    const byWords = await advise(...ask);
    expect(byWords.stdout).toContain("was measured by words and character grams");
    const { stdout } = await advise(...ask, "--text-encoder", "grounding-dino-tiny-synthetic", "--json");
    const { adapters } = JSON.parse(stdout.trim().split("\n").at(-1)!);
    expect(adapters.measure).toBe("the text encoder of grounding-dino-tiny-synthetic");
    expect(adapters.recommended.map(({ id }: { id: string }) => id)).toEqual(["dents", "circles"]);
    writeFileSync(file, JSON.stringify([{ name: "nameless" }]));
    expect(failure(await advise(...ask), { exit: 2 })).toMatch(/0\.id: an adapter needs an id/);
  });

  test.each([
    [["--priority", "qualty"], 2, "Did you mean quality?"],
    [["--domain", "medicine"], 2, "--domain is one of photographic, synthetic"],
    [["--set", "studnt=yolov8m"], 2, "Did you mean student?"],
    [["--set", "student"], 2, 'got "student"'],
    [["--memory-gb", "0.5"], 1, "Raise the limit"],
    [["--rules", "missing.yaml"], 1, "was not found"],
    [["--adapters", "missing.json"], 1, "was not found"],
  ])("refuses %o in a sentence", async (words, exit, part) => {
    expect(failure(await advise(...words), { exit })).toContain(part);
  });
});
