/** Kinds of fixture groups and the entries that give one away when the folder has another name. */
const SIGNATURES: readonly { readonly kind: string; readonly entries: readonly string[] }[] = [
  { kind: "coco-eval", entries: ["mask", "eval"] },
  { kind: "grounding-dino", entries: ["msda.safetensors", "text.json"] },
  { kind: "image-processors", entries: ["pixel_values.safetensors", "resize.safetensors"] },
  { kind: "keys", entries: ["sam-vit-base.json"] },
  { kind: "losses-optim", entries: ["losses", "optim"] },
  { kind: "peft", entries: ["base-sam.safetensors"] },
  { kind: "sam", entries: ["vision.safetensors", "cases"] },
  { kind: "weights-format", entries: ["good", "reject"] },
];

/** Kind of a group by its name (a suffix after a dash is allowed: `sam-b`), else by its entries; null when neither says. */
export function groupKind(name: string, entries: readonly string[]): string | null {
  const byName = SIGNATURES.filter(({ kind }) => name === kind || name.startsWith(`${kind}-`)).sort(
    (a, b) => b.kind.length - a.kind.length,
  )[0];
  const byEntries = SIGNATURES.find((signature) => signature.entries.every((entry) => entries.includes(entry)));
  return byName?.kind ?? byEntries?.kind ?? null;
}
