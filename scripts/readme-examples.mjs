// The first example of every package's README: its code, and what it says the code prints. Run as a program, it writes the code to
// tests/readme/examples, so that the check of types covers it; tests/readme runs it and compares.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const repository = resolve(import.meta.dirname, "..");
/** Git ignores it. */
export const EXAMPLES = join(repository, "tests/readme/examples");

/** @returns {{ name: string, readme: string, code: string, output: string }[]} one example a package, by name */
export function readmeExamples() {
  return readdirSync(join(repository, "packages"))
    .sort()
    .map((name) => {
      const readme = `packages/${name}/README.md`;
      const text = readFileSync(join(repository, readme), "utf8");
      const [, code] = /^```ts\n(.*?)^```$/ms.exec(text) ?? [];
      if (code === undefined)
        throw new Error(`${readme} has no example: a block \`\`\`ts with imports, that runs as it is.`);
      const [, output] = /^```\n\n```text\n(.*?\n)```\n/s.exec(text.slice(text.indexOf(code) + code.length)) ?? [];
      if (output === undefined)
        throw new Error(`${readme} does not show what its example prints: a block \`\`\`text right below.`);
      return { name, readme, code, output };
    });
}

/** Writes every example to {@link EXAMPLES}, `NAME.ts`, and removes what is no example any more. */
export function writeExamples() {
  const examples = readmeExamples();
  mkdirSync(EXAMPLES, { recursive: true });
  for (const file of readdirSync(EXAMPLES))
    if (!examples.some(({ name }) => file === `${name}.ts`)) rmSync(join(EXAMPLES, file), { recursive: true });
  for (const { name, readme, code } of examples) {
    const file = join(EXAMPLES, `${name}.ts`);
    const text = `// From ${readme}; do not edit.\n${code}`;
    // A file that stays is not touched: a check of types may be reading it.
    if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
  }
  return examples;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  console.log(`${writeExamples().length} examples of READMEs written to ${EXAMPLES}.`);
