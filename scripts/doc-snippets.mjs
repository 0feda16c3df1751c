// The TypeScript of the pages, for the check of types: every block ```ts becomes tests/docs/snippets/PAGE-N.ts. What a block takes for
// granted stands before it in a comment that readers do not see: <!-- given: declare const image: RgbImage; -->
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { codeBlocks, ROOT, readText, texts } from "./doc-texts.mjs";

/** Git ignores it. */
const SNIPPETS = join(ROOT, "tests/docs/snippets");

/** @returns {{ name: string, at: string, text: string }[]} one module a block */
export function docSnippets() {
  return texts()
    .filter((file) => /^docs\/(?!results\/|decisions\/)/.test(file))
    .flatMap((file) =>
      codeBlocks(readText(file))
        .filter(({ language }) => language === "ts")
        .map(({ code, line, before }, index) => {
          const given = /<!-- given:([\s\S]*?)-->\s*$/.exec(before)?.[1]?.trim() ?? "";
          return {
            name: `${file.slice("docs/".length, -".md".length).replaceAll("/", "-")}-${index + 1}`,
            at: `${file}:${line}`,
            text: `// From ${file}:${line}; do not edit.\n${[given, code, "export {};"].filter((part) => part !== "").join("\n")}\n`,
          };
        }),
    );
}

/** Writes every snippet and removes what is none any more. */
export function writeSnippets() {
  const snippets = docSnippets();
  mkdirSync(SNIPPETS, { recursive: true });
  for (const file of readdirSync(SNIPPETS)) {
    if (!snippets.some(({ name }) => file === `${name}.ts`)) rmSync(join(SNIPPETS, file));
  }
  for (const { name, text } of snippets) {
    const file = join(SNIPPETS, `${name}.ts`);
    // A file that stays is not touched: a check of types may be reading it.
    if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
  }
  return snippets;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  console.log(`${writeSnippets().length} snippets of pages written to ${SNIPPETS}.`);
}
