import { join, relative, resolve } from "node:path";
import { type CocoDataset, importDataset, loadDataset } from "@seg/coco-dataset";
import { compareAnnotations, correctionsDataset } from "@seg/model-hub";
import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { inFile } from "../data.js";
import { reportDryRun } from "../dry-run.js";
import { commonParent, IMAGES_DIR_KEY, imagesDirectory, writeJson } from "../files.js";
import { dryRunOption } from "../option-specs.js";
import type { Output } from "../output.js";

export const correctionsOptions: OptionSpecs = {
  predicted: { type: "string", path: "file", required: true, help: "annotations.json that seg predict wrote" },
  corrected: {
    type: "string",
    path: "file",
    required: true,
    help: "the same after a person went through it, in any format that seg validate reads",
  },
  data: {
    type: "string",
    path: "file",
    help: "COCO file to merge the corrections into; images of the same name are replaced",
  },
  output: {
    type: "string",
    path: "folder",
    fallback: "corrections",
    help: "folder for corrections.json, changes.json and, with --data, merged.json",
    aliases: ["output-dir"],
  },
  ...dryRunOption,
};

/** The images' folder of a file, absolute: what is written lies elsewhere. */
async function absoluteImages(dataset: CocoDataset, path: string): Promise<string> {
  return resolve(await imagesDirectory({ dataset, path }));
}

/** What a person corrected of a model's predictions, as data that trains the next model, and how much it was. */
export async function corrections(
  options: OptionValues,
  output: Output,
  { signal, config }: CommandContext,
): Promise<void> {
  const file = (name: string) => options[name] as string;
  const directory = file("output");
  const predicted = await loadDataset(file("predicted"));
  const { dataset: corrected } = await inFile(file("corrected"), () => importDataset(file("corrected"), { signal }));
  const dataFile = options["data"] as string | undefined;
  const base = dataFile === undefined ? null : await loadDataset(dataFile);
  const changes = compareAnnotations({ predicted, corrected });
  const made = correctionsDataset({ predicted, corrected, base });
  const { kept, moved, reclassified, added, removed } = changes.counts;
  output.line(`images      ${changes.images} looked at`);
  output.line(
    `objects     ${kept} left as found, ${moved} with another shape, ${reclassified} with another class, ${added} that were missed, ${removed} that are none`,
  );
  const imagesDir = await absoluteImages(predicted, file("predicted"));
  const writes: [name: string, what: string, content: unknown][] = [
    ["corrections.json", "what was corrected, as COCO", { ...made.corrections, [IMAGES_DIR_KEY]: imagesDir }],
    ["changes.json", "what was changed, object by object", changes],
  ];
  if (made.merged !== null) {
    const baseImages = await absoluteImages(base!, dataFile!);
    const root = commonParent([imagesDir, baseImages]);
    const mine = new Set(made.corrections.images.map(({ id }) => id));
    const known = new Set(base!.images.map(({ id }) => id));
    const images = made.merged.images.map((image) => {
      const folder = mine.has(image.id) && !known.has(image.id) ? imagesDir : baseImages;
      return { ...image, file_name: relative(root, join(folder, image.file_name)).replaceAll("\\", "/") };
    });
    writes.push([
      "merged.json",
      "the data with the corrections in it",
      { ...made.merged, images, [IMAGES_DIR_KEY]: root },
    ]);
  }
  if (options["dry-run"] === true) {
    const plan = {
      decisions: [],
      steps: [`compare ${file("corrected")} with ${file("predicted")}, as above`],
      writes: writes.map(([name, what]) => ({ path: join(directory, name), what })),
    };
    return reportDryRun({ command: "corrections", config, output, plan });
  }
  for (const [name, , content] of writes) writeJson(join(directory, name), content);
  output.line(`written     ${writes.map(([name]) => join(directory, name)).join(", ")}`);
  if (base !== null)
    output.line(
      `merged      ${made.replaced} images of ${dataFile} replaced, ${made.corrections.images.length - made.replaced} added`,
    );
  output.result({ command: "corrections", images: changes.images, ...changes.counts, replaced: made.replaced });
}
