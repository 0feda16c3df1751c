import { catalogue } from "../../catalogue/catalogue.js";
import { SamModelManager } from "../../catalogue/sam-model-manager.js";
import type { CatalogueRole } from "../../catalogue/types.js";
import { createHub } from "../../hub.js";
import { type CliCall, type CliCommand, CliUsageError } from "../command.js";
import { createProgressPrinter } from "../progress-printer.js";

const managerOf = ({ io, text }: CliCall) =>
  new SamModelManager({ hub: createHub({ env: io.env }), modelsDir: text("models-dir") ?? null });
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
const oneId = ({ positional }: CliCall): string => {
  if (positional.length === 1) return positional[0]!;
  throw new CliUsageError("Name one model of the catalogue; see seg-hub models list.");
};

/** `seg-hub models ...`: the catalogue's models on this machine. */
export const modelCommands: readonly CliCommand[] = [
  {
    name: "models list",
    help: "models of the catalogue",
    options: {
      role: { type: "string", help: "teacher, student, box-teacher, restoration or text_encoder" },
      installed: { type: "boolean", help: "only those on this machine" },
    },
    async run(call) {
      const role = call.text("role") as CatalogueRole | undefined;
      const list = await managerOf(call).list({ role, installed: call.flag("installed") ? true : undefined });
      call.result(
        list,
        list.map(
          (e) =>
            `${e.installed ? "*" : " "} ${e.id.padEnd(40)} ${e.role.padEnd(12)} ${e.licence.padEnd(30)} ${e.availability}`,
        ),
      );
      return 0;
    },
  },
  {
    name: "models status",
    operands: "[id]",
    help: "what is installed, where, and whether it is intact",
    options: { verify: { type: "boolean", help: "hash every file again" } },
    async run(call) {
      const status = await managerOf(call).status(call.positional[0], { verify: call.flag("verify") });
      const shown = status.models.filter(({ state }) => call.positional[0] !== undefined || state !== "absent");
      call.result({ ...status, models: shown }, [
        ...shown.map(
          (m) => `${m.state.padEnd(10)} ${m.id.padEnd(30)} ${megabytes(m.bytes).padStart(12)}  ${m.path ?? ""}`,
        ),
        `cache ${megabytes(status.cacheBytes)}, free ${megabytes(status.diskFree)}`,
      ]);
      return shown.some(({ state }) => state === "corrupt") ? 3 : 0;
    },
  },
  {
    name: "models install",
    operands: "<id>",
    help: "bring a model here: native publication, then Hugging Face, then a local path",
    options: {
      "accept-licence": { type: "boolean", help: "agree to unknown, non-commercial or gated terms" },
      "permissive-only": { type: "boolean", help: "refuse other licences" },
      from: { type: "string", help: "a local file or folder, tried last" },
      prefer: { type: "string", help: "native or transformers" },
      offline: { type: "boolean", help: "use the cache only" },
      "models-dir": { type: "string", help: "folder for links to native checkpoints" },
    },
    async run(call) {
      const prefer = call.text("prefer");
      if (prefer !== undefined && prefer !== "native" && prefer !== "transformers")
        throw new CliUsageError("--prefer is native or transformers.");
      const from = call.text("from");
      const model = await managerOf(call).ensure(oneId(call), {
        signal: call.io.signal,
        acceptLicence: call.flag("accept-licence"),
        permissiveOnly: call.flag("permissive-only"),
        ...(prefer === undefined ? {} : { prefer }),
        ...(from === undefined ? {} : { localPath: from }),
        ...(call.flag("offline") ? { offline: true } : {}),
        onProgress: createProgressPrinter(call.io),
        onEvent: (event) => {
          if (event.type === "step") call.io.err(`trying ${event.source}\n`);
          else if (event.type === "failed") call.io.err(`  ${event.step.code}: ${event.step.message}\n`);
          else if (event.type === "warning") call.io.err(`${event.message}\n`);
        },
      });
      call.result(model, [
        `${model.path}  (${model.format}, ${megabytes(model.bytes)}, ${model.licence}, from ${model.origin})`,
      ]);
      return 0;
    },
  },
  {
    name: "models remove",
    operands: "<id>",
    help: "remove a model's files",
    async run(call) {
      const report = await managerOf(call).remove(oneId(call));
      call.result(report, [`freed ${megabytes(report.freedBytes)}`]);
      return 0;
    },
  },
  {
    name: "models verify",
    help: "hash every cached file again",
    async run(call) {
      const report = await createHub({ env: call.io.env }).cache.verify({ signal: call.io.signal });
      call.result(report, [
        ...report.findings.map((f) => `${f.kind}  ${f.model}  ${f.path}`),
        `${report.files} files, ${megabytes(report.bytes)}: ${report.ok ? "intact" : "DAMAGED"}`,
      ]);
      return report.ok ? 0 : 3;
    },
  },
  {
    name: "models prune",
    help: "remove blobs that no snapshot uses",
    options: {
      "dry-run": { type: "boolean", help: "only say what would go" },
      "older-than": { type: "string", help: "seconds since the last change [3600]" },
    },
    async run(call) {
      const olderThanS = call.integer("older-than", { min: 60, max: 1e9 });
      const report = await createHub({ env: call.io.env }).cache.prune({
        dryRun: call.flag("dry-run"),
        ...(olderThanS === undefined ? {} : { olderThanS }),
      });
      call.result(report, [
        `${report.dryRun ? "would free" : "freed"} ${megabytes(report.freedBytes)} in ${report.removed.length} files`,
      ]);
      return 0;
    },
  },
  {
    name: "models runtime",
    operands: "<id>",
    help: "the packages that loading a model needs, and the command that installs the absent ones",
    options: { install: { type: "boolean", help: "run that command in the working folder" } },
    async run(call) {
      const report = await managerOf(call).ensureRuntime(oneId(call), {
        install: call.flag("install") ? "npm" : false,
        signal: call.io.signal,
      });
      call.result(report, [
        ...report.packages.map(
          ({ name, installed, reason }) => `${(installed ?? "absent").padEnd(10)} ${name}  ${reason}`,
        ),
        ...(report.command === null ? [] : [report.command]),
      ]);
      return report.isReady ? 0 : 1;
    },
  },
  {
    name: "models config",
    operands: "<id>",
    help: "Hugging Face repository and native family of a model",
    async run(call) {
      const config = managerOf(call).config(catalogue.get(oneId(call)).id);
      call.result(
        config,
        Object.entries(config).map(([key, value]) => `${key}: ${value}`),
      );
      return 0;
    },
  },
];

/** `seg-hub simulate`: fine-tuning as a demonstration. */
export const simulateCommands: readonly CliCommand[] = [
  {
    name: "simulate",
    operands: "<id>",
    help: "walk through a fine-tuning on a stand-in: no network, no engine, under a second",
    options: {
      method: { type: "string", help: "lora or qlora [lora]" },
      dataset: { type: "string", help: "name of the data set [simulated]" },
      epochs: { type: "string", help: "1-10000 [8]" },
      output: { type: "string", help: "folder for finetuned-<id>-<method>-<dataset> [.]" },
    },
    async run(call) {
      const method = call.text("method") ?? "lora";
      if (method !== "lora" && method !== "qlora") throw new CliUsageError("--method is lora or qlora.");
      const epochs = call.integer("epochs", { min: 1, max: 10_000 });
      const [dataset, output] = [call.text("dataset"), call.text("output")];
      const simulation = await managerOf(call).simulate(oneId(call), {
        method,
        ...(dataset === undefined ? {} : { dataset }),
        ...(epochs === undefined ? {} : { epochs }),
        ...(output === undefined ? {} : { outputDirectory: output }),
        signal: call.io.signal,
        onStep: ({ step, message }) => call.io.err(`${step.padEnd(9)} ${message}\n`),
      });
      call.result(simulation, [simulation.path]);
      return 0;
    },
  },
];
