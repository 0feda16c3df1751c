import { checkCsv } from "../src/dashboard/check-csv.js";
import type { CsvSchema } from "../src/datasets/types.js";

/** What a look at a chosen file found, before a byte is sent. */
export interface FileCheck {
  readonly problems: readonly string[];
  /** Null when the file was not counted. */
  readonly records: number | null;
}

/** Read for the look; a larger file is judged by its beginning and counted by the server. */
const LOOK_BYTES = 8 * 1024 ** 2;
const MAX_UPLOAD_BYTES = 2 * 1024 ** 3;

/** Looks at the type, the columns and the values of `file`. */
export async function checkFile(file: File, schema: CsvSchema | null): Promise<FileCheck> {
  if (file.size === 0) return { problems: ["The file is empty."], records: 0 };
  if (file.size > MAX_UPLOAD_BYTES) return { problems: ["The file is larger than 2 GiB."], records: null };
  const extension = file.name.toLowerCase().split(".").at(-1);
  const isWhole = file.size <= LOOK_BYTES;
  if (extension === "csv") {
    if (schema === null) return { problems: [], records: null };
    return checkCsv(await file.slice(0, LOOK_BYTES).text(), schema, { isWhole });
  }
  if (extension === "zip") {
    const [a, b] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
    return { problems: a === 0x50 && b === 0x4b ? [] : ["The content is no zip archive."], records: null };
  }
  if (extension === "json") return isWhole ? checkCoco(await file.text()) : { problems: [], records: null };
  return { problems: ["Choose a COCO .json, a .zip of images and COCO, or a .csv."], records: null };
}

function checkCoco(text: string): FileCheck {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return { problems: ["The file is no JSON."], records: null };
  }
  const parts = (typeof document === "object" && document !== null ? document : {}) as Record<string, unknown>;
  const missing = ["images", "annotations", "categories"].filter((key) => !Array.isArray(parts[key]));
  if (missing.length > 0) return { problems: [`A COCO file needs lists called ${missing.join(", ")}.`], records: null };
  const annotated = new Set((parts["annotations"] as { image_id?: unknown }[]).map((a) => a?.image_id));
  return { problems: [], records: annotated.size };
}
