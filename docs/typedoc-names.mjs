// Modules are called as they are imported: `@seg/nn`, `@seg/export/runtime`, not by the path of their sources.
import { Converter } from "typedoc";
import { entryPoints } from "./entry-points.mjs";

/** @param {import("typedoc").Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    const names = entryPoints();
    for (const module of project.children ?? []) {
      const file = module.sources?.[0]?.fullFileName ?? project.getSymbolIdFromReflection(module)?.fileName;
      const found = names.find(({ source }) => String(file).endsWith(source));
      if (found === undefined) throw new Error(`typedoc: ${module.name} is no entry point of a package`);
      module.name = found.name;
    }
  });
}
