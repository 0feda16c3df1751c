import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { entryPoints } from "../entry-points.mjs";

interface EntryPage {
  readonly name: string;
  readonly url: string;
}

declare const data: EntryPage[];

export { data };

/** The page of every entry point; a module with namespaces has a folder of pages. */
export function entryPages(): EntryPage[] {
  return entryPoints().map(({ name }) => {
    const isFolder = existsSync(fileURLToPath(new URL(`../api/${name}/index.md`, import.meta.url)));
    return { name, url: `/api/${name}${isFolder ? "/" : ".html"}` };
  });
}

export default { load: entryPages };
