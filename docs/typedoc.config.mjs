import { fileURLToPath } from "node:url";
import { entryPoints } from "./entry-points.mjs";

/** One page per entry point, as markdown for vitepress. */
export default {
  // Deeper names first: a page takes its name before a function of the package above (`letterbox` of `@seg/preprocess`) can.
  entryPoints: entryPoints()
    .sort((a, b) => b.name.length - a.name.length)
    .map(({ source }) => source),
  sortEntryPoints: false,
  tsconfig: fileURLToPath(new URL("../tsconfig.json", import.meta.url)),
  out: "api",
  plugin: ["typedoc-plugin-markdown", "./typedoc-names.mjs"],
  outputFileStrategy: "modules",
  entryFileName: "index",
  readme: "none",
  excludePrivate: true,
  excludeInternal: true,
  excludeExternals: true,
  // The types are checked by `npm run typecheck`; one run of tsc is enough.
  skipErrorChecking: true,
  disableSources: true,
  hidePageHeader: true,
  hideBreadcrumbs: true,
  useCodeBlocks: true,
  expandObjects: false,
  parametersFormat: "list",
  interfacePropertiesFormat: "table",
  enumMembersFormat: "table",
  typeDeclarationFormat: "list",
  propertyMembersFormat: "list",
  validation: { notExported: false, invalidLink: false, notDocumented: false },
  // Warnings are about @param of destructured fields, which the pages show all the same.
  logLevel: "Error",
};
