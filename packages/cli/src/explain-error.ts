/** A failure as one sentence for people and a stable code for machines. */
export interface Explanation {
  readonly code: string;
  /** One line. */
  readonly message: string;
}

const brand = Symbol.for("@seg/error");

/** Calls of the system that change something. */
const CHANGES: ReadonlySet<string> = new Set(["mkdir", "rename", "unlink", "rmdir", "write", "copyfile", "link"]);

const forbidden = (path: string, syscall: string): string =>
  `${path} may not be ${CHANGES.has(syscall) ? "written" : "opened"} by this user. Change the permissions or give another path.`;

/** What the operating system reports, in words. */
const SYSTEM: Readonly<Record<string, (path: string, syscall: string) => string>> = {
  ENOENT: (path) => `${path} was not found. Check the path (relative to ${process.cwd()}).`,
  ENOTDIR: (path) => `A part of ${path} is a file where a folder is needed. Give another path.`,
  EISDIR: (path) => `${path} is a folder where a file is needed. Give the path of the file.`,
  EEXIST: (path) => `${path} is in the way: a file of that name exists. Move it or give another path.`,
  EACCES: forbidden,
  EPERM: forbidden,
  EROFS: (path) => `${path} lies on a read-only disk. Give a path that can be written.`,
  ENOSPC: (path) => `The disk is full; ${path} was not written. Free some space and run the command again.`,
  EDQUOT: (path) => `The disk quota is used up; ${path} was not written. Free some space and run the command again.`,
  EIO: (path) => `The disk failed while ${path} was read or written. Check it and give a path on another one.`,
  ENAMETOOLONG: (path) => `The name of ${path} is too long for this disk. Give a shorter path.`,
  EMFILE: (path) => `Too many files are open to read ${path}. Raise the limit (ulimit -n) and run the command again.`,
};

/** Library advice that names a parameter, in the words of the command line. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [/^Configuration "(\w+)": expected/, "--$1: expected"],
  [
    /student, annotate masks, or (let a mask teacher supply them \(.*?\)|pass a teacher cache)/,
    "student or annotate masks",
  ],
  [/ Trace the model in inference mode\./, ""],
  [/Pass resume: true to go on/g, "Go on with --resume"],
  [/, or apply fixDataset/g, ""],
  [/with allowLoss: true/g, "with --allow-loss"],
  [/onMixed: "box-polygon" \(rectangles\) or "boxes"/g, "--on-mixed box-polygon (rectangles) or --on-mixed boxes"],
];

const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ").trim();

/** `--closeMosaic` as the option is spelled. */
const kebab = (text: string): string =>
  text.replace(/^--\w+/, (option) => option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`));

/**
 * Words any thrown value for the command line: errors of the packages keep their message, failures of the operating system become
 * sentences, and what nobody foresaw says so.
 *
 * @param command - the command that failed; advice names only its own options
 */
export function explainError(error: unknown, { command }: { command?: string | undefined } = {}): Explanation {
  if (!(error instanceof Error)) return { code: "unknown", message: oneLine(String(error)) };
  const { code, syscall, path } = error as { code?: unknown; syscall?: unknown; path?: unknown };
  if (brand in error) {
    if (code === "distill/bad-image" && error.cause instanceof Error) {
      const choice = command === "train-student" ? " Or leave it out with --on-bad-image skip." : "";
      return { code, message: `${oneLine(error.cause.message)}${choice}` };
    }
    const message = WORDS.reduce((text, [pattern, words]) => text.replace(pattern, words), oneLine(error.message));
    return { code: typeof code === "string" ? code : "unknown", message: kebab(message) };
  }
  if (typeof code === "string" && typeof syscall === "string") {
    const words = SYSTEM[code];
    const where = typeof path === "string" ? path : "the file";
    const sentence = words === undefined ? oneLine(error.message) : words(where, syscall);
    return { code, message: `${sentence[0]!.toUpperCase()}${sentence.slice(1)}` };
  }
  return {
    code: "unexpected",
    message: `Unexpected ${error.name}: ${oneLine(error.message)} (a fault of this program; SEG_DEBUG=1 shows where).`,
  };
}
