import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { type CliCommand, CliUsageError } from "../command.js";
import { STATE_OPTIONS, withState } from "../open-state.js";
import { table } from "../table.js";

/** `seg-hub datasets ...`: data to train from. */
export const datasetCommands: readonly CliCommand[] = [
  {
    name: "datasets list",
    help: "stored datasets",
    options: STATE_OPTIONS,
    run: (call) =>
      withState(call, async ({ datasets }) => {
        const available = await datasets.list();
        call.result(available, [
          ...table(
            ["name", "format", "records", "images", "annotations", "classes", "bytes"],
            available.datasets.map((record) => [
              record.name,
              record.format,
              record.records,
              record.images,
              record.annotations,
              record.classes.length,
              record.bytes,
            ]),
          ),
          `${available.total_records} records; retraining needs at least ${available.min_records}`,
        ]);
        return 0;
      }),
  },
  {
    name: "datasets add",
    operands: "<file>",
    help: "store a COCO .json, a .zip of images and COCO, or a .csv",
    options: {
      ...STATE_OPTIONS,
      name: { type: "string", help: "[the file's name]" },
      check: { type: "boolean", help: "check it, store nothing" },
    },
    run: (call) =>
      withState(call, async ({ datasets }) => {
        const [path] = call.positional;
        if (path === undefined || call.positional.length !== 1) throw new CliUsageError("Expected one file.");
        const name = call.text("name");
        const report = await datasets.upload({
          stream: createReadStream(path),
          file_name: basename(path),
          validate_only: call.flag("check"),
          created_by: call.io.env["USER"] ?? null,
          signal: call.io.signal,
          ...(name === undefined ? {} : { name }),
        });
        call.result(report, [
          `${report.dataset_name}: ${report.records} records, SHA-256 ${report.sha256}${report.existing ? ", stored before" : report.stored ? ", stored" : ", checked"}`,
          ...report.warnings.map((warning) => `warning: ${warning}`),
        ]);
        return 0;
      }),
  },
];
