import { existsSync, statSync } from "node:fs";
import {
  type CocoDataset,
  createClassMapping,
  type DatasetInspection,
  type Finding,
  inspectDataset,
  loadDataset,
  validateDataset,
} from "@seg/coco-dataset";
import { CommandError } from "./errors.js";
import { imagesDirectory } from "./files.js";

/** A split as commands use it. */
export interface LoadedSplit {
  readonly path: string;
  readonly dataset: CocoDataset;
  readonly imagesDir: string;
  readonly inspection: DatasetInspection;
}

/** What to do about findings whose message only says what is wrong. */
const ADVICE: Readonly<Record<string, string>> = {
  missing_file: "Restore the file, give the folder with --images, or remove the image entry.",
  corrupt: "Replace the file or remove the image entry.",
  dim_mismatch: "Correct width and height of the image entry, or put the annotated file back.",
  orphan_image: "Add the image entry or correct the id.",
  missing_geometry: "Annotate a box or a mask, or remove the annotation.",
  dup_image_id: "Give every image its own id.",
  dup_ann_id: "Give every annotation its own id.",
  dup_category_id: "Give every category its own id.",
  dup_category_name: "Give every category its own name.",
  split_leakage: "Remove the copies, or let seg validate split again with --split, which keeps them together.",
  dup_file_name: "Merge the image entries or correct a file name.",
};

/** The refusal of a COCO file: the first finding with what to do, and how many other kinds there are. */
export function unusableData({ path, errors }: { path: string; errors: readonly Finding[] }): CommandError {
  const [first, ...rest] = errors;
  const advice = ADVICE[first?.code ?? ""];
  const more = rest.length === 0 ? "" : ` ${rest.length} more kinds of error: seg validate --data ${path} lists them.`;
  return new CommandError({
    code: "cli/unusable-data",
    message: `${path} cannot be used: ${first?.message ?? "see the findings"}${advice === undefined ? "" : ` ${advice}`}${more}`,
  });
}

/**
 * Reads a file; a refusal that only says where inside it gets the file in front.
 * @throws {@link CommandError} with the code of the refusal
 */
export async function inFile<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    if (code !== "coco/schema" || typeof message !== "string" || message.includes(path)) throw error;
    throw new CommandError({ code, message: `${path} is no COCO file: ${message}` });
  }
}

/**
 * Splits of one experiment must declare the same categories.
 * @throws {@link CommandError} `cli/classes-differ` naming what differs
 */
export function checkSameClasses(train: LoadedSplit, other: LoadedSplit): void {
  const namesOf = ({ dataset }: LoadedSplit) =>
    new Map(createClassMapping(dataset).classes.map(({ categoryId, name }) => [categoryId, name]));
  const [expected, actual] = [namesOf(train), namesOf(other)];
  const ids = [...new Set([...expected.keys(), ...actual.keys()])].sort((a, b) => a - b);
  const said = (name: string | undefined) => (name === undefined ? "nothing" : `"${name}"`);
  const differences = ids
    .filter((id) => expected.get(id) !== actual.get(id))
    .map((id) => `category ${id} is ${said(actual.get(id))} instead of ${said(expected.get(id))}`);
  if (differences.length === 0) return;
  const more = differences.length > 3 ? `, and ${differences.length - 3} more` : "";
  throw new CommandError({
    code: "cli/classes-differ",
    message: `${other.path} names other classes than ${train.path}: ${differences.slice(0, 3).join(", ")}${more}. Give both files the same categories, ids included.`,
  });
}

/** The refusal of a COCO file without images. */
export function emptyData(path: string): CommandError {
  return new CommandError({
    code: "cli/empty-split",
    message: `${path} lists no images. Add images, or split again with shares that leave some for it.`,
  });
}

/**
 * Loads a COCO file for training or evaluation: errors of validation (structure, geometry, existence of files) stop here.
 *
 * @param onBadImage - `skip` leaves missing and empty image files to the command, which leaves them out by name
 * @throws {@link CommandError} `cli/not-a-file`, `cli/empty-split`, `cli/unusable-data` naming the file, `cli/images-not-found`
 */
export async function loadSplit(
  path: string,
  images: string | undefined,
  { onBadImage = "error" }: { onBadImage?: "error" | "skip" } = {},
): Promise<LoadedSplit> {
  if (existsSync(path) && statSync(path).isDirectory()) {
    throw new CommandError({
      code: "cli/not-a-file",
      message: `${path} is a folder, a COCO file is needed. Give the file; or let seg validate --data ${path} --output DIR make one.`,
    });
  }
  const source = await inFile(path, () => loadDataset(path));
  if (source.images.length === 0) throw emptyData(path);
  const imagesDir = await imagesDirectory({ dataset: source, path, option: images });
  const { dataset, report } = await validateDataset(source, { imagesDir });
  const errors = report.findings.filter((f) => f.severity === "error");
  const fatal = errors.filter((f) => onBadImage === "error" || f.layer !== "images");
  if (fatal.length > 0) throw unusableData({ path, errors: fatal });
  return { path, dataset, imagesDir, inspection: inspectDataset(source) };
}
