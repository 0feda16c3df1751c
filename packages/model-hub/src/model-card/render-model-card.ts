import { parseDocument, stringify } from "yaml";
import { classifyLicence } from "../licence/classify-licence.js";

export interface CardResult {
  readonly task: string;
  readonly dataset: { readonly type: string; readonly name: string };
  /** Non-finite values are left out. */
  readonly metrics: readonly { readonly type: string; readonly value: number }[];
}

/** What a model card says; facts that are absent are left out. */
export interface ModelCard {
  readonly name: string;
  readonly summary: string;
  /** A Hugging Face licence tag; anything else becomes `other` with its name. */
  readonly licence: string | null;
  readonly licenceLink?: string;
  readonly library?: string;
  readonly tags?: readonly string[];
  readonly datasets?: readonly string[];
  readonly baseModel?: string;
  readonly baseModelRelation?: "adapter" | "merge" | "quantized" | "finetune";
  readonly pipelineTag?:
    | "image-segmentation"
    | "mask-generation"
    | "object-detection"
    | "zero-shot-object-detection"
    | "image-to-image";
  readonly results?: readonly CardResult[];
  readonly files: readonly {
    readonly name: string;
    readonly bytes: number;
    readonly sha256: string;
    readonly md5?: string | null;
  }[];
  readonly usage?: string;
  readonly trainingData?: string;
  readonly parents?: readonly { readonly id: string; readonly licence: string | null }[];
  readonly limits?: string;
}

const BEGIN = "<!-- user:begin -->";
const END = "<!-- user:end -->";
/** From free to unusable: the strictest of a model and its parents applies. */
const STRICTNESS = ["permissive", "copyleft", "restricted", "non-commercial", "unknown"] as const;
const WORDS = {
  permissive: "",
  copyleft:
    "Copyleft: what is built with it must be offered under the same terms; AGPL also covers use over a network.",
  restricted: "Terms of their own apply; read them before use.",
  "non-commercial": "Non-commercial use only.",
  unknown: "No licence is stated, so no right to use is granted.",
} as const;

/** Keys of the YAML that come from the card alone; every other key of an earlier README is its owner's. */
const OWN_KEYS: ReadonlySet<string> = new Set([
  ...["license", "license_name", "license_link", "library_name", "tags", "datasets", "metrics", "base_model"],
  ...["base_model_relation", "pipeline_tag", "model-index"],
]);

/** The keys of a README's YAML that are none of ours, with their values; none where there is no YAML that can be read. */
function foreignKeys(readme: string): Record<string, unknown> {
  const text = /^---\r?\n([\s\S]*?)\r?\n---\s*(?:\r?\n|$)/.exec(readme)?.[1];
  if (text === undefined) return {};
  const document = parseDocument(text);
  const head: unknown = document.errors.length > 0 ? null : document.toJS();
  if (typeof head !== "object" || head === null || Array.isArray(head)) return {};
  return Object.fromEntries(Object.entries(head).filter(([key]) => !OWN_KEYS.has(key)));
}

/**
 * A README in Hugging Face's model-card format: YAML between `---` lines, then text. Of `previous`, keys of the YAML that this function does
 * not write (`language`, `thumbnail`, those of other tools) and what a person wrote between the `user:begin` and `user:end` comments are kept.
 */
export function renderModelCard(card: ModelCard, { previous = "" }: { previous?: string } = {}): string {
  const isTag =
    card.licence !== null &&
    classifyLicence(card.licence) !== "restricted" &&
    classifyLicence(card.licence) !== "non-commercial";
  const results = (card.results ?? [])
    .map((result) => ({ ...result, metrics: result.metrics.filter(({ value }) => Number.isFinite(value)) }))
    .filter(({ metrics }) => metrics.length > 0);
  const head = {
    ...(card.licence === null
      ? {}
      : isTag
        ? { license: card.licence.toLowerCase() }
        : {
            license: "other",
            license_name: card.licence,
            ...(card.licenceLink === undefined ? {} : { license_link: card.licenceLink }),
          }),
    ...(card.library === undefined ? {} : { library_name: card.library }),
    ...(card.tags === undefined ? {} : { tags: card.tags }),
    ...(card.datasets === undefined ? {} : { datasets: card.datasets }),
    ...(results.length === 0
      ? {}
      : { metrics: [...new Set(results.flatMap((r) => r.metrics.map(({ type }) => type)))] }),
    ...(card.baseModel === undefined ? {} : { base_model: card.baseModel }),
    ...(card.baseModelRelation === undefined ? {} : { base_model_relation: card.baseModelRelation }),
    ...(card.pipelineTag === undefined ? {} : { pipeline_tag: card.pipelineTag }),
    ...(results.length === 0
      ? {}
      : {
          "model-index": [
            {
              name: card.name,
              results: results.map(({ task, dataset, metrics }) => ({ task: { type: task }, dataset, metrics })),
            },
          ],
        }),
    ...foreignKeys(previous),
  };
  const parents = card.parents ?? [];
  const strictest = [card.licence, ...parents.map(({ licence }) => licence)]
    .map(classifyLicence)
    .reduce((a, b) => (STRICTNESS.indexOf(b) > STRICTNESS.indexOf(a) ? b : a));
  const start = previous.indexOf(BEGIN);
  const end = previous.indexOf(END, start);
  const kept = start >= 0 && end > start ? previous.slice(start + BEGIN.length, end) : "\n";
  const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
  const section = (title: string, body: string | undefined) =>
    body === undefined || body === "" ? [] : [`## ${title}`, "", body, ""];
  return [
    `---\n${stringify(head)}---`,
    "",
    `# ${card.name}`,
    "",
    card.summary,
    "",
    `${BEGIN}${kept}${END}`,
    "",
    ...section(
      "Files",
      [
        "| file | bytes | SHA-256 | MD5 |",
        "|---|---|---|---|",
        ...card.files.map((f) => `| ${cell(f.name)} | ${f.bytes} | ${f.sha256} | ${f.md5 ?? ""} |`),
      ].join("\n"),
    ),
    ...section("Usage", card.usage),
    ...section("Training data", card.trainingData),
    ...section(
      "Metrics",
      results.flatMap((r) => r.metrics.map((m) => `- ${m.type} ${m.value} on ${r.dataset.name}`)).join("\n"),
    ),
    ...section("Parents", parents.map(({ id, licence }) => `- ${id} (${licence ?? "unknown"})`).join("\n")),
    ...section("Licence", `${card.licence ?? "unknown"}; with parents: ${strictest}. ${WORDS[strictest]}`.trim()),
    ...section("Limits", card.limits),
  ].join("\n");
}
