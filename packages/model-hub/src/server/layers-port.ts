import type { JobHandler } from "../jobs/types.js";
import type { LayerStore } from "../layers/layer-store.js";
import { openLayers } from "../layers/open-layers.js";
import { pullLayer } from "../layers/pull-layer.js";
import type { Json } from "../registry/types.js";
import type { ObjectStore } from "../stores/object-store.js";
import type { HubParts } from "./hub-port.js";
import type { LayersPort } from "./ports.js";
import { snakeCase } from "./snake-case.js";

/** Layers for the HTTP API. */
export function layersPort(layers: LayerStore): LayersPort {
  return {
    async list() {
      return (await layers.list()).map(({ layer, purpose, tasks, models, stored }) => ({
        layer,
        purpose,
        tasks,
        models: models.map(({ name, architecture, tasks: does, when }) => ({
          name,
          architecture,
          tasks: does,
          when: when ?? null,
          isStored: stored.some((record) => record.name === name),
        })),
        stored,
      }));
    },
    resolve: async (layer, question) => ({ ...(await layers.resolve(layer, question)) }),
    async push(layer, { path, fileName }, metadata, { actor, signal }) {
      const fields = metadata as {
        name: string;
        architecture?: string;
        task?: string;
        licence?: string;
        source_url?: string;
        training_data?: string;
        input_spec?: string;
        metrics?: Readonly<Record<string, number>>;
        sha256?: string;
        as_new_version?: boolean;
        accept_licence?: boolean;
      };
      const { skipped, record, warnings } = await layers.push(
        layer,
        [{ path, name: fileName }],
        {
          name: fields.name,
          architecture: fields.architecture,
          tasks: fields.task === undefined ? undefined : [fields.task],
          licence: fields.licence,
          sourceUrl: fields.source_url,
          trainingData: fields.training_data,
          inputSpec: fields.input_spec,
          metrics: fields.metrics,
          sha256: fields.sha256,
        },
        { actor, signal, asNewVersion: fields.as_new_version, acceptLicence: fields.accept_licence },
      );
      return { skipped, ...record, warnings };
    },
  };
}

/** Body of `POST /layers/{layer}/pull`, as the job keeps it. */
interface PullPayload {
  readonly layer: string;
  readonly models?: readonly string[];
  readonly accept_licence?: boolean;
}

/** Runs jobs of kind `layer-pull`; succeeds with the summary, also when single models failed. */
export function layerPullHandler(parts: HubParts & { layers: LayerStore }): JobHandler {
  return async ({ job, signal, progress, log }) => {
    const { layer, models, accept_licence } = job.payload as unknown as PullPayload;
    const total = models?.length ?? parts.layers.layer(layer).models.length;
    let over = 0;
    const report = (percent: number, etaS: number | null) =>
      progress({
        phase: "pulling",
        epoch: null,
        epochs: null,
        step: over,
        steps: total,
        percent,
        metrics: {},
        eta_s: etaS,
      });
    const summary = await pullLayer(parts, layer, {
      models,
      acceptLicence: accept_licence,
      actor: job.created_by,
      signal,
      onDownload: (_, { doneBytes, totalBytes, etaS }) => {
        const share = totalBytes === null || totalBytes === 0 ? 0 : doneBytes / totalBytes;
        report((100 * (over + share)) / total, etaS);
      },
      onModel(name, outcome, detail) {
        over++;
        void log({ message: `${name}: ${outcome}, ${detail}` }).catch(() => undefined);
        report((100 * over) / total, null);
      },
    });
    return snakeCase(JSON.parse(JSON.stringify(summary))) as { readonly [key: string]: Json };
  };
}

/** The layers of the hub in `root`, for the server. @throws HubError INVALID_REQUEST for a `layers.yaml` that cannot be used */
export async function connectLayers({
  root,
  store,
  parts,
}: {
  root: string;
  store: ObjectStore;
  parts: HubParts;
}): Promise<{ readonly layers: LayersPort; readonly handlers: { readonly "layer-pull": JobHandler } }> {
  const layers = await openLayers({ root, store, hub: parts.hub });
  await layers.init();
  return { layers: layersPort(layers), handlers: { "layer-pull": layerPullHandler({ ...parts, layers }) } };
}
