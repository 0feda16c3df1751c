import { z } from "zod";

/** What huggingface_hub keeps of each file of a commit, `trees/{commit}.json`. */
export interface TreeFile {
  readonly size: number;
  /** Git SHA-1 of the blob (of the pointer, for LFS). */
  readonly blob_id: string;
  readonly lfs_sha256?: string | undefined;
  readonly lfs_size?: number | undefined;
  readonly xet_hash?: string | undefined;
}
export type Tree = Readonly<Record<string, TreeFile>>;

const TREE_FORMAT = 1;

const treeSchema = z.object({
  format_version: z.literal(TREE_FORMAT),
  files: z.record(
    z.string(),
    z.object({
      size: z.int().min(0),
      blob_id: z.string(),
      lfs_sha256: z
        .string()
        .nullish()
        .transform((value) => value ?? undefined),
      lfs_size: z
        .int()
        .nullish()
        .transform((value) => value ?? undefined),
      xet_hash: z
        .string()
        .nullish()
        .transform((value) => value ?? undefined),
    }),
  ),
});

/** The tree in `text`, or null when it is damaged or of another format: it is then fetched again. */
export function parseTree(text: string): Tree | null {
  try {
    const parsed = treeSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data.files : null;
  } catch {
    return null;
  }
}

/** As Python writes it: sorted, one space of indentation, absent keys left out. */
export function formatTree(tree: Tree): string {
  const files = Object.fromEntries(Object.entries(tree).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  return JSON.stringify({ format_version: TREE_FORMAT, files }, null, 1);
}
