/**
 * Every reading of a pattern with alternatives in braces.
 * @example expandBraces("attn.{q,k}_proj") // ["attn.q_proj", "attn.k_proj"]
 */
export function expandBraces(pattern: string): string[] {
  const found = /\{([^}]*)\}/.exec(pattern);
  if (!found) return [pattern];
  return found[1]!.split(",").flatMap((name) => expandBraces(pattern.replace(found[0], name)));
}
