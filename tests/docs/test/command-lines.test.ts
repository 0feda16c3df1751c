import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Command, commands, type OptionSpecs, parseArguments } from "@seg/cli";
import { describe, expect, test } from "vitest";
import { codeBlocks, ROOT, readText, texts } from "../../../scripts/doc-texts.mjs";

interface CommandLine {
  readonly at: string;
  /** Words behind `seg` or `npm run`. */
  readonly words: readonly string[];
}

/** Words of one command as a shell splits them: quotes and backslashes; null where the shell has to compute. */
function splitWords(line: string): string[] | null {
  if (/[$`]\(|^[#>]/.test(line)) return null;
  const words = [...line.matchAll(/(?:[^\s"'\\]|\\.|"[^"]*"|'[^']*')+/g)].map(([word]) => word.replaceAll(/["']/g, ""));
  const comment = words.findIndex((word) => word.startsWith("#"));
  return comment < 0 ? words : words.slice(0, comment);
}

/** Command lines of the shell blocks of a text, with continued lines joined and redirections left out. */
function linesOf(file: string): CommandLine[] {
  return codeBlocks(readText(file))
    .filter(({ language }) => /^(sh|bash|shell)$/.test(language))
    .flatMap(({ code, line }) =>
      code
        .replaceAll(/\\\n\s*/g, " ")
        .split(/\n|&&|\|(?!\|)/)
        .flatMap((text) => {
          const words = splitWords(text.replace(/[12]?>\S*\s*\S+\s*$/, "").trim()) ?? [];
          return words.length === 0 ? [] : [{ at: `${file}:${line}`, words }];
        }),
    );
}

/** `npm run seg -- validate ...`, `npx seg validate ...`, `seg validate ...` -> `validate ...`. */
function segWords({ words }: CommandLine): readonly string[] | null {
  const text = words.filter((word) => !/^[A-Z_0-9]+=/.test(word));
  if (text[0] === "npm" && text[1] === "run" && text[2] === "seg") return text.slice(text[3] === "--" ? 4 : 3);
  if (text[0] === "npx" && text[1] === "seg") return text.slice(2);
  return text[0] === "seg" ? text.slice(1) : null;
}

const placeholders = /^[A-Z][A-Z_]+(\.\.\.)?$/;

/** Fails with the sentence that the user would get. */
async function check(words: readonly string[]): Promise<void> {
  let command: Command = { summary: "", subcommands: commands };
  let rest = words;
  while ("subcommands" in command) {
    const [name, ...others] = rest;
    if (name === undefined || name.startsWith("-") || placeholders.test(name) || name === "help") return;
    const next: Command | undefined = command.subcommands[name];
    if (next === undefined) throw new Error(`there is no command ${name}`);
    command = next;
    rest = others;
  }
  const { options } = await command.load();
  const common: OptionSpecs = Object.fromEntries(
    ["json", "quiet", "help"].map((name) => [name, { type: "boolean", help: "" }]),
  );
  if (rest.some((word) => word === "..." || word === "--help")) return;
  const isListing = rest.some((word) => word === "--list-models" || word === "--config" || word.startsWith("--show-"));
  const specs = Object.entries({ ...options, ...common }).map(
    ([name, spec]) => [name, isListing ? { ...spec, required: false } : spec] as const,
  );
  const { positional } = parseArguments(rest, Object.fromEntries(specs));
  if (positional.length > 0 && command.positional === undefined) throw new Error(`takes no argument ${positional[0]}`);
}

const all = texts().flatMap(linesOf);

describe("command lines of the texts", () => {
  test("have options that exist and values that are allowed", async () => {
    const failed: string[] = [];
    let count = 0;
    for (const line of all) {
      const words = segWords(line);
      if (words === null) continue;
      count++;
      await check(words).catch((error: Error) => failed.push(`${line.at}: seg ${words.join(" ")}\n  ${error.message}`));
    }
    expect(failed).toEqual([]);
    // The blocks are found at all.
    expect(count).toBeGreaterThan(50);
  });

  test("name scripts that package.json has", () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
    };
    const unknown = all
      .filter(({ words }) => words[0] === "npm" && words[1] === "run" && !words.includes("-w"))
      .filter(({ words }) => !(words[2]! in scripts))
      .map(({ at, words }) => `${at}: npm run ${words[2]}`);
    expect(unknown).toEqual([]);
  });

  test.each([
    ["validate --dat a.json", /Unknown option --dat/],
    ["validate", /--data is required/],
    ["trian --data a.json", /no command trian/],
    ["optimize --model run --quantize int7", /int7/],
  ])("seg %s would be refused", async (words, message) => {
    await expect(check(words.split(" "))).rejects.toThrow(message);
  });
});
