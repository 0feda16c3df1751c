import { catalogue } from "../catalogue/catalogue.js";
import type { SamModelManager } from "../catalogue/sam-model-manager.js";
import type { DownloadProgress } from "../download/progress.js";
import { HubError } from "../errors.js";
import type { ModelHub } from "../hub.js";
import { redact } from "../internal/redact.js";
import { howToGet, type LayerStore, type PushOptions } from "./layer-store.js";
import type { LayerModel, LayerRecord, TransferSummary } from "./types.js";

/** Which models of a layer are wanted. */
export interface PullOptions extends PushOptions {
  /** Names of the models wanted. @defaultValue all of the layer */
  readonly models?: readonly string[] | undefined;
  readonly onDownload?: ((name: string, progress: DownloadProgress) => void) | undefined;
  readonly onModel?: ((name: string, outcome: "ok" | "skipped" | "failed", detail: string) => void) | undefined;
}

/**
 * Downloads a layer's models from their official sources and stores them. Each model by itself: one that fails, or that only a person can
 * fetch, is reported and the others go on. A model that the layer holds already is not fetched again.
 *
 * @throws {@link HubError} NOT_FOUND for a layer or a model that is not configured; `signal.reason` on abort
 */
export async function pullLayer(
  { layers, hub, manager }: { layers: LayerStore; hub: ModelHub; manager: SamModelManager },
  layerName: string,
  { models: names, onDownload, onModel, ...options }: PullOptions = {},
): Promise<TransferSummary> {
  const layer = layers.layer(layerName);
  const wanted = names === undefined ? layer.models : names.map((name) => modelOf(layer.models, layerName, name));
  const ok: LayerRecord[] = [];
  const skipped: { name: string; reason: string }[] = [];
  const failed: { name: string; code: string; message: string }[] = [];
  const skip = (name: string, reason: string) => {
    skipped.push({ name, reason });
    onModel?.(name, "skipped", reason);
  };
  for (const model of wanted) {
    options.signal?.throwIfAborted();
    const { name } = model;
    const entry = model.catalogue === undefined ? null : catalogue.get(model.catalogue);
    try {
      const stored = (await layers.stored(layerName, name)).at(-1);
      if (entry !== null && entry.replacedBy !== null) {
        skip(name, `no official weights exist; ${entry.replacedBy} does its work`);
        continue;
      }
      // Other bytes of the same source are a new version only when asked for.
      if (stored !== undefined && options.asNewVersion !== true) {
        skip(name, `stored already, SHA-256 ${stored.sha256}`);
        continue;
      }
      const isManual = model.source === undefined && (entry === null || entry.availability === "manual");
      if (isManual) {
        throw new HubError({
          code: "SOURCE_UNAVAILABLE",
          message: `${name} has no source that a program can fetch: ${howToGet(layerName, model)}.`,
        });
      }
      const install = {
        ...options,
        onProgress: (progress: DownloadProgress) => onDownload?.(name, progress),
        ...(options.actor == null ? {} : { acceptedBy: options.actor }),
      };
      const installed =
        entry === null
          ? await hub.download(model.source!, { ...install, allow: model.allow })
          : await manager.ensure(entry.id, { ...install, allow: model.allow });
      const report = await layers.push(
        layerName,
        installed.files.map((file) => ({ path: file.path, name: file.name.split("/").at(-1)! })),
        {
          name,
          sourceUrl: entry?.files[0]?.urls[0] ?? model.source!.replace(/^url:/, ""),
          ...(model.licence === undefined && entry === null ? { licence: installed.licence } : {}),
        },
        options,
      );
      if (report.skipped)
        skip(name, `the same content is stored as ${report.record.name} version ${report.record.version}`);
      else {
        ok.push(report.record);
        onModel?.(name, "ok", `SHA-256 ${report.record.sha256}`);
      }
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!HubError.isInstance(error)) throw error;
      const failure = { name, code: error.code, message: redact(error.message) };
      failed.push(failure);
      onModel?.(name, "failed", `${failure.code} ${failure.message}`);
    }
  }
  return { ok, skipped, failed };
}

function modelOf(models: readonly LayerModel[], layer: string, name: string): LayerModel {
  const found = models.find((model) => model.name === name);
  if (found !== undefined) return found;
  throw new HubError({
    code: "NOT_FOUND",
    message: `${layer} is not configured to hold ${name}. Its models: ${models.map((model) => model.name).join(", ")}.`,
    details: { layer, name },
  });
}
