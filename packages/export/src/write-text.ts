import { writeFileAtomic } from "@seg/nn";

/** Writes text through {@link writeFileAtomic}. */
export function writeText(path: string, text: string): void {
  writeFileAtomic(path, [new TextEncoder().encode(text)]);
}

/** Writes a value as indented JSON with a final newline, atomically. */
export function writeJson(path: string, value: unknown): void {
  writeText(path, `${JSON.stringify(value, null, 2)}\n`);
}
