/** Absolute path of the repository. */
export const ROOT: string;
/** Markdown files that git has or will have, relative to the repository, without changesets, changelogs and fixtures. */
export function texts(): string[];
export function readText(file: string): string;
/** Fenced blocks; `line` of the fence, from 1; `before` the text up to it. */
export function codeBlocks(markdown: string): { language: string; code: string; line: number; before: string }[];
/** The text without code and comments; lines and columns stay. */
export function proseOf(markdown: string): string;
