import { classDistribution } from "../../class-distribution.js";
import { completeDataset } from "../../complete-dataset.js";
import { importDataset } from "../../convert/import-dataset.js";
import { computeStatistics } from "../../statistics/compute-statistics.js";
import type { CliCommand } from "../command.js";

/** `seg-coco stats`: numbers of classes, sizes, places. */
export const statsCommand: CliCommand = {
  summary: "numbers of classes, sizes, places",
  positional: ["DATA"],
  options: {},
  async run({ positional: [data] }) {
    const { dataset } = completeDataset((await importDataset(data!)).dataset);
    const statistics = computeStatistics(dataset);
    const { classes: rows } = classDistribution(dataset);
    const width = Math.max(4, ...rows.map(({ name }) => name.length));
    const table = rows.map(
      ({ name, images: n, instances }) =>
        `${name.padEnd(width)}  ${String(n).padStart(7)}  ${String(instances).padStart(9)}`,
    );
    return {
      text: [`${"name".padEnd(width)}   images  instances`, ...table].join("\n"),
      json: statistics,
      findings: [],
    };
  },
};
