import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Plan } from "@seg/model-hub";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { changesOf, planFile, planYaml, readPlanFile, reasonOf } from "./plan-file.js";

const plan = (choices: Record<string, unknown>, id = "p"): Plan =>
  ({
    id,
    choices,
    trace: Object.entries(choices).map(([output, value]) => ({ output, value, reason: `why ${output}` })),
    estimates: { training_seconds: 60 },
    warnings: ["few images"],
  }) as unknown as Plan;
const KNOWN = ["student", "student_epochs", "close_mosaic", "characteristics"];

let root: string;
const write = async (text: string): Promise<string> => {
  const path = join(root, "plan.yaml");
  await writeFile(path, text);
  return path;
};
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "seg-plan-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe("planFile", () => {
  test("keeps the advice beside what a person decided, and takes what follows from it for advised", () => {
    const file = planFile(plan({ student_epochs: 2, close_mosaic: 0 }), {
      decided: ["student_epochs"],
      advised: plan({ student_epochs: 80, close_mosaic: 16 }, "advised"),
    });
    expect(file.plan).toBe("advised");
    expect(changesOf(file)).toEqual([{ output: "student_epochs", advised: 80, chosen: 2 }]);
    expect(reasonOf(file, "student_epochs")).toBe("you decided it; advised was 80: why student_epochs");
    expect(reasonOf(file, "close_mosaic")).toBe("why close_mosaic");
  });
});

describe("readPlanFile", () => {
  test("reads what planYaml wrote, with reasons as comments", async () => {
    const file = planFile(plan({ student: "yolov8n", student_epochs: 80, characteristics: ["many", "small"] }));
    const text = planYaml(file);
    expect(text).toContain("student: yolov8n # why student\n");
    expect(readPlanFile(await write(text), KNOWN)).toEqual(file);
  });

  test("an edited value is a change, a removed one is not there", async () => {
    const text = planYaml(planFile(plan({ student: "yolov8n", student_epochs: 80 })))
      .replace("  student: yolov8n # why student\n", "")
      .replace("student_epochs: 80", "student_epochs: 5");
    const edited = readPlanFile(await write(text), KNOWN);
    expect(edited.choices).toEqual({ student_epochs: 5 });
    expect(changesOf(edited)).toEqual([{ output: "student_epochs", advised: 80, chosen: 5 }]);
  });

  test("says what is wrong in one sentence", async () => {
    expect(() => readPlanFile(join(root, "none.yaml"), KNOWN)).toThrow(
      `${join(root, "none.yaml")} does not exist: seg run --data FILE --until plan writes one.`,
    );
    const typo = planYaml(planFile(plan({ student: "yolov8n" }))).replace("  student:", "  studnet:");
    const path = await write(typo);
    expect(() => readPlanFile(path, KNOWN)).toThrow(/decides no "studnet"\. Did you mean "student"\?/);
    await write("choices: [");
    expect(() => readPlanFile(path, KNOWN)).toThrow(/is not YAML: /);
    await write("version: 1\nchoices: {student: {a: 1}}\nadvised: {}\nplan: p\n");
    expect(() => readPlanFile(path, KNOWN)).toThrow(/is no plan: choices\.student/);
  });
});
