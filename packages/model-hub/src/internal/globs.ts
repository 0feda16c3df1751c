const compiled = new Map<string, RegExp>();

/** A shell pattern as Python's `fnmatch` reads it: `*` and `?` also match `/`, `[abc]`, `[!abc]`; a trailing `/` means everything below. */
function toRegExp(pattern: string): RegExp {
  const known = compiled.get(pattern);
  if (known !== undefined) return known;
  const whole = pattern.endsWith("/") ? `${pattern}*` : pattern;
  let source = "";
  for (let i = 0; i < whole.length; i++) {
    const c = whole[i]!;
    const end = c === "[" ? whole.indexOf("]", i + 2) : -1;
    if (c === "*") source += ".*";
    else if (c === "?") source += ".";
    else if (end > 0) {
      const inner = whole
        .slice(i + 1, end)
        .replace(/\\/g, "\\\\")
        .replace(/\^/g, "\\^");
      source += inner.startsWith("!") ? `[^${inner.slice(1)}]` : `[${inner}]`;
      i = end;
    } else source += c.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  }
  const expression = new RegExp(`^${source}$`, "s");
  compiled.set(pattern, expression);
  return expression;
}

/** Whether `path` is wanted: it matches one of `allow` (all match when absent) and none of `ignore`. */
export function isWanted(
  path: string,
  { allow, ignore }: { allow?: readonly string[] | undefined; ignore?: readonly string[] | undefined },
): boolean {
  if (allow !== undefined && !allow.some((pattern) => toRegExp(pattern).test(path))) return false;
  return !(ignore ?? []).some((pattern) => toRegExp(pattern).test(path));
}

/**
 * The wanted paths of `all`. An ONNX model above 2 GB keeps its weights in siblings (`model.onnx_data`, `model.onnx.data`,
 * `model.onnx_data_1`), useless one without the other, so these come along with their model.
 */
export function selectPaths(
  all: readonly string[],
  filter: { allow?: readonly string[] | undefined; ignore?: readonly string[] | undefined },
): string[] {
  const chosen = new Set(all.filter((path) => isWanted(path, filter)));
  for (const path of all) {
    const model = /^(.*\.onnx)(?:_data(?:_\d+)?|\.data)$/.exec(path)?.[1];
    if (model !== undefined && chosen.has(model)) chosen.add(path);
  }
  return all.filter((path) => chosen.has(path));
}
