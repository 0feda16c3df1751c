// The markdown texts of the repository that people read, and what is in them.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** Absolute path of the repository. */
export const ROOT = resolve(import.meta.dirname, "..");

/** @returns {string[]} markdown files that git has or will have, relative to the repository, without changesets and changelogs */
export function texts() {
  const list = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z", "*.md"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  return [...new Set(list.split("\0"))]
    .filter(
      (file) => file !== "" && !/^\.changeset\/|CHANGELOG\.md$|\/fixtures\//.test(file) && existsSync(join(ROOT, file)),
    )
    .sort();
}

/** @param {string} file - relative to the repository */
export const readText = (file) => readFileSync(join(ROOT, file), "utf8");

const FENCE = /^( *)(`{3,}|~{3,})([^\n]*)\n([\s\S]*?)^\1\2 *$/gm;

/**
 * Fenced blocks of a text.
 * @param {string} markdown
 * @returns {{ language: string, code: string, line: number, before: string }[]} `line` of the fence, from 1; `before` the text up to it
 */
export function codeBlocks(markdown) {
  return [...markdown.matchAll(FENCE)].map(({ index, 3: language, 4: code }) => ({
    language: language.trim(),
    code,
    line: markdown.slice(0, index).split("\n").length,
    before: markdown.slice(0, index),
  }));
}

const blank = (text) => text.replaceAll(/[^\n]/g, " ");

/** The text without code and comments; lines and columns stay. */
export const proseOf = (markdown) =>
  markdown
    .replaceAll(FENCE, blank)
    .replaceAll(/<!--[\s\S]*?-->/g, blank)
    .replaceAll(/(`+)(?!`)[^\n]*?[^`\n]\1(?!`)/g, blank);
