import { type ModelCard, renderModelCard } from "../model-card/render-model-card.js";
import type { LayerConfig, LayerRecord } from "./types.js";

/** README of a stored model; see {@link renderModelCard} for what survives of `previous`. */
export function layerCard(record: LayerRecord, previous: string): string {
  const { layer, name, version, architecture, tasks, files, licence, training_data, metrics, input_spec } = record;
  const [task] = tasks;
  const results = Object.entries(metrics).map(([type, value]) => ({ type, value }));
  const card: ModelCard = {
    name,
    summary: [
      `${architecture} model of ${layer} for ${tasks.join(", ")}; version ${version}, stored ${record.uploaded_at}${record.uploaded_by === null ? "" : ` by ${record.uploaded_by}`}.`,
      ...(record.source_url === null ? [] : [`Source: ${record.source_url}`]),
      ...(input_spec === null ? [] : [`Input: ${input_spec}`]),
    ].join("\n\n"),
    licence,
    ...(record.source_url === null ? {} : { licenceLink: record.source_url }),
    tags: [layer, architecture, ...tasks],
    pipelineTag: "image-to-image",
    files,
    usage: [
      "```",
      `seg-hub layers resolve ${layer} --task ${task}`,
      `curl -H "Authorization: Bearer $TOKEN" "http://localhost:8000/layers/${layer}/resolve?task=${task}"`,
      "```",
    ].join("\n"),
    ...(training_data === null ? {} : { trainingData: training_data }),
    ...(results.length === 0
      ? {}
      : {
          results: [
            {
              task: "image-to-image",
              dataset: { type: "other", name: training_data ?? "as published" },
              metrics: results,
            },
          ],
        }),
  };
  return renderModelCard(card, { previous });
}

/** README of a layer: what it is for, what it is meant to hold, how models and layers are added. */
export function layerReadme({ layer, purpose, tasks, models }: LayerConfig): string {
  return [
    `# ${layer}`,
    "",
    purpose,
    "",
    `Tasks: ${tasks.join(", ")}`,
    "",
    "| model | architecture | tasks | when |",
    "|---|---|---|---|",
    ...models.map(
      (model) => `| ${model.name} | ${model.architecture} | ${model.tasks.join(", ")} | ${model.when ?? ""} |`,
    ),
    "",
    "## Add a model",
    "",
    "```",
    `seg-hub layers pull ${layer}                         # what has an official source`,
    `seg-hub layers push ${layer} FILE --name NAME        # what does not`,
    "```",
    "",
    "## Add a layer",
    "",
    "One entry in `layers.yaml` of the hub's folder, then `seg-hub layers init`; no code:",
    "",
    "```yaml",
    "layers:",
    "  layer-3:",
    "    purpose: Super-resolution of what layer-2 gives",
    "    tasks: [super_resolution]",
    "    models:",
    "      - { name: my_sr_x2, architecture: my_sr, tasks: [super_resolution], source: hf:owner/my-sr }",
    "    architectures:",
    "      my_sr: { scale: 2 }",
    "```",
    "",
  ].join("\n");
}
