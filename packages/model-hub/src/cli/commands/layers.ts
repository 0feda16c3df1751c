import { SamModelManager } from "../../catalogue/sam-model-manager.js";
import { HubError } from "../../errors.js";
import { createHub } from "../../hub.js";
import { filesAt, type LayerStore } from "../../layers/layer-store.js";
import { openLayers } from "../../layers/open-layers.js";
import { pullLayer } from "../../layers/pull-layer.js";
import type { LayerProgress, LayerRecord, TransferSummary } from "../../layers/types.js";
import { type CliCall, type CliCommand, type CliOption, CliUsageError } from "../command.js";
import { metricOf } from "../metric-option.js";
import { hubRoot, openStore, STATE_OPTIONS } from "../open-state.js";
import { createProgressPrinter } from "../progress-printer.js";
import { table } from "../table.js";

const OPTIONS: Readonly<Record<string, CliOption>> = { root: STATE_OPTIONS["root"]!, store: STATE_OPTIONS["store"]! };
const LICENCE: Readonly<Record<string, CliOption>> = {
  "accept-licence": { type: "boolean", help: "agree to unknown or non-commercial terms" },
  "permissive-only": { type: "boolean", help: "refuse other licences" },
  "as-new-version": { type: "boolean", help: "keep other content under the same name as the next version" },
};

const policyOf = (call: CliCall) => ({
  actor: call.io.env["USER"] ?? null,
  signal: call.io.signal,
  acceptLicence: call.flag("accept-licence"),
  permissiveOnly: call.flag("permissive-only"),
  asNewVersion: call.flag("as-new-version"),
});

/** Opens the layers that the options and the environment name, and closes the store after `work`. */
async function withLayers<Result>(
  call: CliCall,
  work: (parts: { layers: LayerStore; hub: ReturnType<typeof createHub>; init(): Promise<void> }) => Promise<Result>,
): Promise<Result> {
  const opened = await openStore(call);
  try {
    const hub = createHub({ env: call.io.env });
    const layers = await openLayers({ root: hubRoot(call), store: opened.store, hub });
    return await work({ layers, hub, init: opened.init });
  } finally {
    opened.close();
  }
}

function layerOf({ positional }: CliCall, { more = false }: { more?: boolean } = {}): string {
  const [layer, ...rest] = positional;
  if (layer !== undefined && (more || rest.length === 0)) return layer;
  throw new CliUsageError("Name one layer; see seg-hub layers list.");
}

/** The summary's lines and the exit status: 1 when anything failed, 3 when all failures are of integrity. */
function conclude(call: CliCall, summary: TransferSummary): number {
  const { ok, skipped, failed } = summary;
  call.result(summary, [
    ...ok.map((r) => `ok       ${r.name}  version ${r.version}  ${r.sha256}`),
    ...skipped.map(({ name, reason }) => `skipped  ${name}  ${reason}`),
    ...failed.map(({ name, code, message }) => `failed   ${name}  ${code} ${message}`),
    `${ok.length} stored, ${skipped.length} skipped, ${failed.length} failed`,
  ]);
  if (failed.length === 0) return 0;
  return failed.every(({ code }) => code === "INTEGRITY") ? 3 : 1;
}

/** A bar for bytes that are hashed and stored. */
function progressOf(call: CliCall, name: string): (progress: LayerProgress) => void {
  const print = createProgressPrinter(call.io);
  return ({ phase, file, doneBytes, totalBytes }) => {
    if (phase === "hashing") return;
    print({
      phase: phase === "done" ? "done" : "downloading",
      file: `${name}/${file}`,
      doneBytes,
      totalBytes,
      filesDone: phase === "done" ? 1 : 0,
      filesTotal: 1,
      bytesPerS: null,
      etaS: null,
    });
  };
}

/** `seg-hub layers ...`: restoration models by pipeline stage. */
export const layerCommands: readonly CliCommand[] = [
  {
    name: "layers init",
    help: "make the store's bucket and the folder of every layer; nothing that is there changes",
    options: OPTIONS,
    run: (call) =>
      withLayers(call, async ({ layers, init }) => {
        await init();
        const written = await layers.init();
        call.result({ store: layers.describe(), written }, [
          layers.describe(),
          ...(written.length === 0 ? ["nothing to do"] : written.map((key) => `written  ${key}`)),
        ]);
        return 0;
      }),
  },
  {
    name: "layers list",
    operands: "[layer]",
    help: "layers with the models they are meant to hold and those stored",
    options: OPTIONS,
    run: (call) =>
      withLayers(call, async ({ layers }) => {
        const [only] = call.positional;
        if (only !== undefined) layers.layer(only);
        const listings = (await layers.list()).filter(({ layer }) => only === undefined || layer === only);
        call.result(
          { layers: listings },
          listings.flatMap(({ layer, purpose, models, stored }) => {
            const foreign = stored.filter((record) => !models.some(({ name }) => name === record.name));
            const rows = [...models, ...foreign].map(({ name, architecture, tasks }) => {
              const newest = stored.filter((record) => record.name === name).at(-1);
              return [
                name,
                architecture,
                tasks.join(" "),
                newest?.version ?? null,
                newest?.sha256.slice(0, 12) ?? null,
              ];
            });
            return [
              `${layer}  ${purpose}`,
              ...table(["model", "architecture", "tasks", "version", "SHA-256"], rows).map((line) => `  ${line}`),
              "",
            ];
          }),
        );
        return 0;
      }),
  },
  {
    name: "layers pull",
    operands: "<layer>",
    help: "download a layer's models from their official sources; exit 1 when any failed",
    options: { ...OPTIONS, model: { type: "string", multiple: true, help: "only these; repeatable" }, ...LICENCE },
    run: (call) =>
      withLayers(call, async ({ layers, hub }) => {
        const models = call.list("model");
        const print = createProgressPrinter(call.io);
        return conclude(
          call,
          await pullLayer({ layers, hub, manager: new SamModelManager({ hub }) }, layerOf(call), {
            ...policyOf(call),
            ...(models.length === 0 ? {} : { models }),
            onDownload: (_, progress) => print(progress),
            onModel: (name, outcome, detail) => call.io.err(`${name}: ${outcome}, ${detail}\n`),
          }),
        );
      }),
  },
  {
    name: "layers push",
    operands: "<layer> <file>...",
    help: "store local files, each a model (a folder is one of several files); exit 1 when any failed",
    options: {
      ...OPTIONS,
      name: { type: "string", help: "model's name [the file's, without its extension]" },
      architecture: { type: "string", help: "for models that the layer's configuration does not name" },
      task: { type: "string", multiple: true, help: "what it does; repeatable" },
      licence: { type: "string", help: "SPDX name or the publisher's words" },
      "source-url": { type: "string", help: "where the file came from" },
      "training-data": { type: "string", help: "what it was trained on" },
      "input-spec": { type: "string", help: "layout, range and size of its input" },
      metric: { type: "string", multiple: true, help: "name=number, such as psnr=40.3; repeatable" },
      sha256: { type: "string", help: "what the file must have" },
      ...LICENCE,
    },
    run: (call) =>
      withLayers(call, async ({ layers }) => {
        const layer = layerOf(call, { more: true });
        const paths = call.positional.slice(1);
        const [name, sha256] = [call.text("name"), call.text("sha256")];
        if (paths.length === 0) throw new CliUsageError("Name the files to store.");
        if (paths.length > 1 && (name !== undefined || sha256 !== undefined))
          throw new CliUsageError("--name and --sha256 are of one file; give one.");
        layers.layer(layer);
        const metrics = Object.fromEntries(call.list("metric").map(metricOf));
        const ok: LayerRecord[] = [];
        const skipped: { name: string; reason: string }[] = [];
        const failed: { name: string; code: string; message: string }[] = [];
        for (const path of paths) {
          const model =
            name ??
            path
              .replace(/^.*[/\\](?=.)/, "")
              .replace(/[/\\]$/, "")
              .replace(/\.[^.]+$/, "");
          try {
            const {
              skipped: isThere,
              record,
              warnings,
            } = await layers.push(
              layer,
              await filesAt(path),
              {
                name: model,
                architecture: call.text("architecture"),
                ...(call.list("task").length === 0 ? {} : { tasks: call.list("task") }),
                licence: call.text("licence"),
                sourceUrl: call.text("source-url"),
                trainingData: call.text("training-data"),
                inputSpec: call.text("input-spec"),
                metrics,
                sha256,
              },
              { ...policyOf(call), onProgress: progressOf(call, model) },
            );
            for (const warning of warnings) call.io.err(`warning: ${warning}\n`);
            if (isThere)
              skipped.push({
                name: model,
                reason: `the same content is stored as ${record.name} version ${record.version}`,
              });
            else ok.push(record);
          } catch (error) {
            call.io.signal.throwIfAborted();
            if (!HubError.isInstance(error)) throw error;
            failed.push({ name: model, code: error.code, message: error.message });
          }
        }
        return conclude(call, { ok, skipped, failed });
      }),
  },
  {
    name: "layers resolve",
    operands: "<layer>",
    help: "verified local path of the model for a task",
    options: {
      ...OPTIONS,
      task: { type: "string", help: "what it must do" },
      model: { type: "string", help: "its name" },
    },
    run: (call) =>
      withLayers(call, async ({ layers }) => {
        const question = { task: call.text("task"), model: call.text("model") };
        const found = await layers.resolve(layerOf(call), question, { signal: call.io.signal });
        for (const warning of found.warnings) call.io.err(`warning: ${warning}\n`);
        call.result(found, [found.path]);
        return 0;
      }),
  },
  {
    name: "layers card",
    operands: "<layer> <model>",
    help: "README of a stored model",
    options: OPTIONS,
    run: (call) =>
      withLayers(call, async ({ layers }) => {
        const [layer, model, ...more] = call.positional;
        if (layer === undefined || model === undefined || more.length > 0)
          throw new CliUsageError("Name a layer and a model.");
        const card = await layers.card(layer, model);
        call.result({ layer, model, card }, [card]);
        return 0;
      }),
  },
];
