import { Conv2d, Embedding, Linear, type Module, type Parameter } from "@seg/nn";
import { type LoraConfig, type LoraConfigInput, parseLoraConfig } from "./config.js";
import { LoraTargetError } from "./errors.js";
import { isAdapted, loraLayers } from "./layers/lora-layers.js";
import { QuantizedConv2d } from "./quantize/quantized-conv2d.js";
import { QuantizedLinear } from "./quantize/quantized-linear.js";

/** A module that gets an adapter. */
export interface LoraTarget {
  readonly path: string;
  readonly kind: "linear" | "conv2d" | "embedding";
  readonly rank: number;
  readonly alpha: number;
}

/** A module that the configuration names but that gets no adapter. */
export interface SkippedTarget {
  readonly path: string;
  readonly reason: string;
}

/** Python's re.fullmatch. Named groups are translated; other syntax is common to both languages for module paths. */
function fullMatch(pattern: string, text: string): boolean {
  let expression: RegExp;
  try {
    expression = new RegExp(`^(?:${pattern.replaceAll("(?P<", "(?<")})$`);
  } catch {
    throw new LoraTargetError({ target: pattern, reason: "not a regular expression" });
  }
  return expression.test(text);
}

const endsWith = (path: string, name: string) => path === name || path.endsWith(`.${name}`);

const escapeRegExp = (text: string) => text.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&");

/** How one list entry matches paths: plain names as in PEFT, and our spellings of regular expressions. */
function entryMatcher(entry: string): (path: string) => boolean {
  if (entry.startsWith("re:")) return (path) => fullMatch(entry.slice(3), path);
  if (entry.startsWith(".*")) return (path) => fullMatch(entry, path);
  const name = entry.endsWith(".weight") ? entry.slice(0, -".weight".length) : entry;
  if (!name.includes("*")) return (path) => endsWith(path, name);
  const pattern = name
    .split("**")
    .map((part) => part.split("*").map(escapeRegExp).join("[^.]*"))
    .join(".*");
  return (path) => fullMatch(`(?:.*\\.)?${pattern}`, path);
}

/** The name with every aliased run of path components replaced. */
function withAliases(entry: string, aliases: Readonly<Record<string, string>>): string {
  let result = entry;
  for (const [alias, name] of Object.entries(aliases)) {
    result = result.replaceAll(
      new RegExp(`(^|\\.)${escapeRegExp(alias)}(?=\\.|$)`, "g"),
      (_, dot: string) => `${dot}${name}`,
    );
  }
  return result;
}

function isExcluded(path: string, exclude: LoraConfig["excludeModules"]): boolean {
  if (exclude === null) return false;
  if (typeof exclude === "string") return fullMatch(exclude, path);
  return exclude.some((name) => endsWith(path, name));
}

function isSaved(path: string, modulesToSave: LoraConfig["modulesToSave"]): boolean {
  return (modulesToSave ?? []).some((name) => fullMatch(`(|.*\\.)${name}(|\\..*)`, path));
}

/** PEFT's layer filter for list targets: the first index in the path must be one of `layersToTransform`. */
function isInLayers(path: string, { layersToTransform, layersPattern }: LoraConfig): boolean {
  if (layersToTransform === null || (Array.isArray(layersToTransform) && layersToTransform.length === 0)) return true;
  const wanted = [layersToTransform].flat();
  if (layersPattern === null) {
    const index = /^.*?\.[^.]*\.(\d+)\./.exec(path)?.[1];
    return index !== undefined && wanted.includes(Number(index));
  }
  for (const pattern of [layersPattern].flat()) {
    const index = new RegExp(`^(?:|.*?\\.)${pattern}\\.(?<index>\\d+)\\.`).exec(path)?.groups?.["index"];
    if (index !== undefined) return wanted.includes(Number(index));
  }
  return false;
}

/** Value of the first key that matches the end of the path, by PEFT's rule (.*\.)?(key). */
function patternValue(patterns: Readonly<Record<string, number>>, path: string, fallback: number): number {
  for (const [key, value] of Object.entries(patterns)) if (fullMatch(`(?:.*\\.)?(?:${key})`, path)) return value;
  return fallback;
}

/** Why a module cannot carry an adapter of this name, or its kind. */
function classify(
  module: Module,
  uses: ReadonlyMap<unknown, number>,
  adapterName: string,
): { kind: LoraTarget["kind"] } | { reason: string } {
  if (isAdapted(module)) {
    if (module.partsOf(adapterName)) return { reason: "it already carries an adapter; merge or remove that first" };
    return classify(module.base_layer, uses, adapterName);
  }
  if (module instanceof QuantizedLinear) return { kind: "linear" };
  if (module instanceof QuantizedConv2d) return { kind: "conv2d" };
  if (!(module instanceof Linear || module instanceof Conv2d || module instanceof Embedding)) {
    return { reason: `${module.constructor.name} cannot be adapted, only Linear, Conv2d and Embedding can` };
  }
  if ((uses.get(module.weight) ?? 0) > 1) return { reason: "its weight is shared with another module" };
  if (module instanceof Embedding) {
    return module.lookup
      ? { kind: "embedding" }
      : { reason: "the model reads its weight directly, so an adapter would have no effect until merged" };
  }
  if (module instanceof Linear) return { kind: "linear" };
  // PEFT's forward fails with dilation, and a product of two matrices is no grouped kernel.
  if (module.dilation !== 1) return { reason: "it is dilated" };
  if (module.groups !== 1) return { reason: "it is grouped" };
  return { kind: "conv2d" };
}

function isLinear(module: Module): boolean {
  return (
    module instanceof Linear || module instanceof QuantizedLinear || (isAdapted(module) && isLinear(module.base_layer))
  );
}

/** Paths ordered by how many trailing components they share with `entry`, then by common letters of the last one; at most five. */
function nearestPaths(paths: readonly string[], entry: string): string[] {
  const wanted = entry.split(".").reverse();
  const score = (path: string) => {
    const parts = path.split(".").reverse();
    const last = parts[0] ?? "";
    let prefix = 0;
    while (prefix < last.length && last[prefix] === wanted[0]?.[prefix]) prefix++;
    return wanted.filter((part) => parts.includes(part)).length * 100 + prefix;
  };
  return paths
    .map((path) => ({ path, score: score(path) }))
    .filter((candidate) => candidate.score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, 5)
    .map(({ path }) => path);
}

/**
 * The modules that get adapters, by PEFT's rules: excluded, then saved modules, then targets; see {@link LoraConfig.targetModules}.
 *
 * @param everyEntry - require each list entry to match something adaptable (PEFT only requires that one does)
 * @param adapterName - of the adapter to be added: a layer carries several, but one of each name
 * @returns targets in the model's order, and what was named but skipped
 * @throws {@link LoraTargetError}; ZodError for malformed settings
 */
export function resolveTargets(
  model: Module,
  settings: LoraConfigInput,
  { everyEntry = true, adapterName = "default" }: { everyEntry?: boolean; adapterName?: string } = {},
): { targets: LoraTarget[]; skipped: SkippedTarget[] } {
  const config = parseLoraConfig(settings);
  if (config.layersPattern !== null && config.layersToTransform === null) {
    throw new LoraTargetError({
      target: [config.layersPattern].flat().join(),
      reason: "layersPattern needs layersToTransform",
    });
  }
  if (typeof config.targetModules === "string" && config.layersToTransform !== null) {
    throw new LoraTargetError({
      target: config.targetModules,
      reason: "layersToTransform needs a list of targets, not a regular expression",
    });
  }
  const uses = new Map<Parameter | unknown, number>();
  for (const [, leaf] of model.namedLeaves()) uses.set(leaf, (uses.get(leaf) ?? 0) + 1);
  const modules = new Map([...model.namedModules()].filter(([path]) => path !== ""));
  const insideAdapters = [...loraLayers(model).keys()].map((path) => `${path}.`);
  const candidates = [...modules.keys()].filter(
    (path) =>
      !isExcluded(path, config.excludeModules) &&
      !isSaved(path, config.modulesToSave) &&
      !insideAdapters.some((prefix) => path.startsWith(prefix)),
  );

  const matched = new Set<string>();
  const skipped: SkippedTarget[] = [];
  const { targetModules } = config;
  const allLinear = typeof targetModules === "string" && targetModules.toLowerCase() === "all-linear";
  const take = (entry: string, paths: readonly string[]): number => {
    let adaptable = 0;
    for (const path of paths) {
      const result = classify(modules.get(path)!, uses, adapterName);
      if ("kind" in result) {
        matched.add(path);
        adaptable++;
      } else if (config.onUnsupported === "error" && !allLinear) {
        throw new LoraTargetError({ target: entry, reason: `it names ${path}: ${result.reason}` });
      } else if (!skipped.some((other) => other.path === path)) skipped.push({ path, reason: result.reason });
    }
    return adaptable;
  };
  if (allLinear) {
    take(
      targetModules,
      candidates.filter((path) => isLinear(modules.get(path)!)),
    );
  } else if (typeof targetModules === "string") {
    take(
      targetModules,
      candidates.filter((path) => fullMatch(targetModules, path)),
    );
  } else {
    for (const entry of targetModules) {
      const find = (name: string) => {
        const matches = entryMatcher(name);
        return candidates.filter((path) => matches(path) && (path === name || isInLayers(path, config)));
      };
      let paths = find(entry);
      if (paths.length === 0) paths = find(withAliases(entry, config.aliases));
      if (take(entry, paths) === 0 && everyEntry && (paths.length === 0 || config.onUnsupported === "error")) {
        const nearest = nearestPaths(candidates, entry);
        throw new LoraTargetError({ target: entry, reason: "it matches no module of this model", nearest });
      }
    }
  }
  if (matched.size === 0) {
    const target = [targetModules].flat().join(", ");
    const reason =
      skipped.length > 0
        ? `it matches nothing adaptable (${skipped[0]!.path}: ${skipped[0]!.reason})`
        : "it matches no module of this model";
    throw new LoraTargetError({ target, reason, nearest: nearestPaths(candidates, [targetModules].flat()[0]!) });
  }
  const targets = candidates
    .filter((path) => matched.has(path))
    .map((path): LoraTarget => {
      const result = classify(modules.get(path)!, uses, adapterName);
      return {
        path,
        // Only modules that classify took are in `matched`.
        kind: (result as { kind: LoraTarget["kind"] }).kind,
        rank: patternValue(config.rankPattern, path, config.r),
        alpha: patternValue(config.alphaPattern, path, config.loraAlpha),
      };
    });
  return { targets, skipped };
}
