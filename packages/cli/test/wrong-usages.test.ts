import { join } from "node:path";
import { EXIT_CODES } from "@seg/cli";
import { afterAll, describe, expect, test } from "vitest";
import { createPlayground, failure, snapshot } from "./playground.js";
import { runSeg } from "./run-seg.js";
import { occupyPort, wrongUsages } from "./wrong-usages.js";

const DOCUMENT = join(import.meta.dirname, "..", "..", "..", "docs", "cli-errors.md");
/** Words of advice: a sentence without any only complains. */
const ADVICE =
  /\b(Give|Check|Choose|Run|Did you mean|See|Restore|Replace|Export|Add|Annotate|Free|Change|Continue|Move|Use|Correct|declare|Fix|Write|Start|Install|Remove|Unset|needs|takes|give|must|is required|is one of|such as)\b/;

const playground = await createPlayground();
const { root, remove } = playground;
const { port, free } = await occupyPort();
const usages = await wrongUsages(playground, { port });
afterAll(async () => {
  free();
  await remove();
});

/** Without what belongs to this machine. */
const plain = (text: string): string =>
  text
    .replaceAll(`${root}/`, "")
    .replaceAll(root, ".")
    .replaceAll(process.cwd(), "the current folder")
    .replaceAll(String(port), "8000");

const sections: string[] = [];
describe.each(Object.entries(usages))("%s", (heading, cases) => {
  test.each(cases)("$what", async ({ what, argv, exit, code, during, masks = [] }) => {
    const before = snapshot(root);
    const undo = (await during?.()) ?? (() => {});
    let result: Awaited<ReturnType<typeof runSeg>>;
    try {
      result = await runSeg(...argv, "--json");
    } finally {
      undo();
    }
    const line = failure(result, { exit });
    const last = JSON.parse(result.stdout.trimEnd().split("\n").at(-1)!);
    expect(last).toEqual({ type: "error", code, message: line.replace("error: ", "") });
    expect(line).toMatch(ADVICE);
    expect(snapshot(root)).toEqual(before);
    const shown = masks.reduce((sentence, [pattern, mask]) => sentence.replace(pattern, mask), plain(line));
    const typed = `seg ${plain(argv.join(" "))}`;
    const title = `${what[0]!.toUpperCase()}${what.slice(1)}`;
    sections.push(
      `${sections.some((s) => s.startsWith(`## ${heading}\n`)) ? "" : `## ${heading}\n\n`}### ${title}\n\n`,
    );
    sections.push(`\`\`\`text\n$ ${typed}\n${shown}\n\`\`\`\n\nExit code ${exit}, \`${code}\`.\n\n`);
  });
});

test("the documentation shows every one of them, word for word", async () => {
  const table = EXIT_CODES.map(([code, meaning]) => `| ${code} | ${meaning.replaceAll("|", "\\|")} |`).join("\n");
  const text = `# What seg says when something is wrong

Every failure is one sentence on stderr, last, that says what, where and what to do; with \`--json\` the last line of stdout is
\`{"type":"error","code","message"}\`. Codes and exit codes are stable, sentences may improve. \`SEG_DEBUG=1\` adds a stack trace.

| exit code | meaning |
|---|---|
${table}

This page is made by \`packages/cli/test/wrong-usages.test.ts\`, which runs every command line below and compares
(\`npx vitest run --root packages/cli test/wrong-usages -u\` writes it anew).

${sections.join("").trimEnd()}
`;
  await expect(text).toMatchFileSnapshot(DOCUMENT);
});
