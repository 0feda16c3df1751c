import { type JsonObject, toYaml } from "@seg/train";
import { type ResolvedConfig, RUN_OPTIONS } from "./resolve-config.js";

/** Options that belong to a machine or a place, beside {@link RUN_OPTIONS}. */
const NOT_KEPT: ReadonlySet<string> = new Set(["output", "threads", "gpu"]);

/**
 * The resolved options as YAML that `--config` reads back, dotted names as nested keys. Comments in front say what is not an option: facts, and
 * what was chosen from the data and why. A comment behind a value says who set it, unless it is the default.
 *
 * @param omit - further options that are not kept
 */
export function configYaml(
  config: ResolvedConfig,
  { comments, omit = [] }: { comments: readonly string[]; omit?: readonly string[] },
): string {
  const left = new Set(omit);
  const kept = config
    .settings()
    .filter(
      ({ name }) =>
        config.values[name] !== undefined && !RUN_OPTIONS.has(name) && !NOT_KEPT.has(name) && !left.has(name),
    );
  const tree: Record<string, unknown> = {};
  for (const { name, value } of kept) {
    const [group, ...rest] = name.split(".") as [string, ...string[]];
    // `sam` names a model and prefixes settings: there the dotted key stays whole.
    if (rest.length === 0 || group in config.values) tree[name] = value;
    else tree[group] = { ...(tree[group] as object | undefined), [rest.join(".")]: value };
  }
  const chosen = config
    .settings()
    .filter(({ name, origin }) => origin !== "default" && !left.has(name))
    .map(
      ({ name, value, origin, why }) =>
        `${name} = ${JSON.stringify(value)}: ${origin}${why === null ? "" : `, ${why}`}`,
    );
  const header = [...comments, ...(chosen.length === 0 ? [] : ["Not the defaults:", ...chosen])];
  return `${header.map((line) => `# ${line}\n`).join("")}${toYaml(tree as JsonObject)}`;
}
