import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type OptionSpecs, parseArguments } from "./args.js";
import { configFileArguments } from "./config-file.js";

const folder = mkdtempSync(join(tmpdir(), "seg-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (content: string): string => {
  const path = join(folder, "teacher.yaml");
  writeFileSync(path, content);
  return path;
};
const specs: OptionSpecs = {
  "lora.r": { type: "number", help: "rank" },
  method: { type: "string", help: "method", fallback: "lora" },
  format: { type: "list", help: "formats" },
  resume: { type: "boolean", help: "resume", fallback: false },
};

describe("configFileArguments", () => {
  test("nested keys are dotted options, null is absent, the command line wins", () => {
    const words = configFileArguments(file("lora: { r: 32 }\nmethod: null\nformat: [a, b]\nresume: true\n"), specs);
    expect(words).toEqual(["--lora.r=32", "--format=a,b", "--resume=true"]);
    expect(parseArguments([...words, "--lora.r", "8"], specs).values).toEqual({
      "lora.r": 8,
      method: "lora",
      format: ["a", "b"],
      resume: true,
    });
  });

  test("names an unknown key and the nearest option", () => {
    expect(() => configFileArguments(file("lora: { rr: 1 }"), specs)).toThrow(
      /"lora.rr" is no option. Did you mean "lora.r"/,
    );
  });

  test("refuses what is no mapping, no YAML, or not there", () => {
    expect(() => configFileArguments(file("- a"), specs)).toThrow(/must hold option names/);
    expect(() => configFileArguments(file("a: [1"), specs)).toThrow(/is not YAML/);
    expect(() => configFileArguments(join(folder, "none.yaml"), specs)).toThrow(/does not exist/);
  });
});
