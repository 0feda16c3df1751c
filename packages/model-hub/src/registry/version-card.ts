import { catalogue } from "../catalogue/catalogue.js";
import { renderModelCard } from "../model-card/render-model-card.js";
import type { VersionDetail } from "./types.js";

/** Measures that are no quality of the model. */
const NO_RESULT: ReadonlySet<string> = new Set(["training_samples", "training_time", "extra"]);

/**
 * README of a version from its manifest: files with digests, metrics, data and lineage. The licence of the version itself is never guessed;
 * those of parents that are models of the catalogue are stated.
 *
 * @param previous - an earlier README, whose user text and foreign keys are kept; see {@link renderModelCard}
 */
export function versionCard(version: VersionDetail, previous = ""): string {
  const { model, version: name, description, files, metrics, manifest, tags } = version;
  const { dataset, parents, metric_definition_id, created_at, created_by, params } = manifest;
  const trainer = (params["retrain"] as { trainer?: unknown } | undefined)?.trainer;
  const measured = Object.entries(metrics).filter(
    (entry): entry is [string, number] => typeof entry[1] === "number" && !NO_RESULT.has(entry[0]),
  );
  const task = metrics.mask_iou !== null ? "image-segmentation" : metrics.map50 !== null ? "object-detection" : null;
  const ancestors = Object.values(parents).filter((parent): parent is string => typeof parent === "string");
  const facts: readonly (readonly [string, string | number | null])[] = [
    ["data set", dataset.id],
    ["fingerprint", dataset.fingerprint],
    ["split", dataset.split_hash],
    ["samples", metrics.training_samples],
    ["training time", metrics.training_time === null ? null : `${metrics.training_time.toFixed(1)} s`],
    ["metric definition", metric_definition_id],
  ];
  return renderModelCard(
    {
      name: `${model} ${name}`,
      summary: [
        description === "" ? `Version ${name} of ${model}.` : description,
        `Registered ${created_at}${created_by === null ? "" : ` by ${created_by}`}.`,
      ].join("\n\n"),
      licence: null,
      ...(tags.length === 0 && typeof trainer !== "string"
        ? {}
        : { tags: [...new Set([...(typeof trainer === "string" ? [trainer] : []), ...tags])] }),
      ...(dataset.id === null ? {} : { datasets: dataset.id.split("+") }),
      ...(task === null ? {} : { pipelineTag: task }),
      results: [
        {
          task: task ?? "other",
          dataset: { type: "other", name: dataset.id ?? "unknown" },
          metrics: measured.map(([type, value]) => ({ type, value })),
        },
      ],
      files: files.map(({ path, bytes, sha256, md5 }) => ({ name: path, bytes, sha256, md5 })),
      usage: `\`\`\`\nseg-hub registry activate ${name} --model ${model}\n\`\`\``,
      trainingData: facts
        .filter(([, value]) => value !== null)
        .map(([label, value]) => `- ${label}: ${value}`)
        .join("\n"),
      parents: ancestors.map((id) => {
        const licence = catalogue.find(id)?.licence ?? null;
        return { id, licence: licence === "unknown" ? null : licence };
      }),
    },
    { previous },
  );
}
