import { open, readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import type { VerificationRecords } from "../cache/verification-records.js";
import { catalogue } from "../catalogue/catalogue.js";
import { hashFile } from "../download/hash-file.js";
import { readPieces } from "../download/import-blob.js";
import { digestOfFiles } from "../download/install-model.js";
import { isTextFile, unexpectedBody } from "../download/unexpected-content.js";
import { HubError } from "../errors.js";
import { type HubClock, systemClock } from "../internal/clock.js";
import { assertLicence, type LicencePolicy } from "../licence/assert-licence.js";
import type { LicenceLedgerPort } from "../registry/types.js";
import { blobKey, type ObjectInfo, type ObjectStore, readAll } from "../stores/object-store.js";
import { TOOL_VERSION } from "../tool-version.js";
import { layerCard, layerReadme } from "./layer-card.js";
import { MODEL_NAME } from "./layer-config.js";
import { localCopy } from "./local-copy.js";
import type {
  LayerConfig,
  LayerFile,
  LayerMetadata,
  LayerModel,
  LayerProgress,
  LayerRecord,
  PushReport,
  ResolvedLayerModel,
} from "./types.js";

/** Two pushes of one name meet once; more often is no coincidence. */
const TRIES = 8;

const recordSchema = z.object({
  schema: z.literal(1),
  layer: z.string(),
  name: z.string(),
  version: z.number().int(),
  architecture: z.string(),
  tasks: z.array(z.string()),
  files: z.array(z.object({ name: z.string(), bytes: z.number(), sha256: z.string(), md5: z.string() })),
  bytes: z.number(),
  sha256: z.string(),
  md5: z.string().nullable(),
  source_url: z.string().nullable(),
  licence: z.string(),
  training_data: z.string().nullable(),
  metrics: z.record(z.string(), z.number()),
  input_spec: z.string().nullable(),
  uploaded_by: z.string().nullable(),
  uploaded_at: z.string(),
  tool_version: z.string(),
});

/** A layer with what is stored of it. */
export interface LayerListing extends LayerConfig {
  readonly stored: readonly LayerRecord[];
}

/** Who pushes, under which terms, and whether other content becomes a new version. */
export interface PushOptions extends LicencePolicy {
  readonly actor?: string | null | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Keep other content under the same name as the next version, instead of refusing it. @defaultValue false */
  readonly asNewVersion?: boolean | undefined;
  readonly onProgress?: ((progress: LayerProgress) => void) | undefined;
}

const modelPrefix = (layer: string, name: string): string => `layers/${layer}/${name}/`;
const recordKey = (layer: string, name: string, version: number): string =>
  `${modelPrefix(layer, name)}versions/${String(version).padStart(6, "0")}.json`;

/**
 * Restoration models by pipeline stage in an object store: content under its digest, one immutable record per version, a README per model
 * and layer. What layers there are is configuration; no layer has code of its own.
 */
export class LayerStore {
  readonly #layers: readonly LayerConfig[];
  readonly #store: ObjectStore;
  readonly #directory: string;
  readonly #records: VerificationRecords;
  readonly #ledger: LicenceLedgerPort | null;
  readonly #clock: HubClock;

  /**
   * @param directory - folder for verified local copies
   * @param records - what was verified earlier
   */
  constructor({
    layers,
    store,
    directory,
    records,
    ledger = null,
    clock = systemClock,
  }: {
    layers: readonly LayerConfig[];
    store: ObjectStore;
    directory: string;
    records: VerificationRecords;
    ledger?: LicenceLedgerPort | null;
    clock?: HubClock;
  }) {
    this.#layers = layers;
    this.#store = store;
    this.#directory = directory;
    this.#records = records;
    this.#ledger = ledger;
    this.#clock = clock;
  }

  /** Where the models lie, for messages. */
  describe(): string {
    return this.#store.describe();
  }

  /** @throws {@link HubError} NOT_FOUND naming the layers that there are */
  layer(name: string): LayerConfig {
    const found = this.#layers.find(({ layer }) => layer === name);
    if (found !== undefined) return found;
    throw new HubError({
      code: "NOT_FOUND",
      message: `There is no ${name}. Known: ${this.#layers.map(({ layer }) => layer).join(", ")}. A layer is added by an entry in layers.yaml.`,
      details: { layer: name },
    });
  }

  /** Writes the README of every layer, which makes its folder; one that is as it should be stays. @returns the keys that were written */
  async init(): Promise<readonly string[]> {
    const written: string[] = [];
    for (const layer of this.#layers) {
      const key = `layers/${layer.layer}/README.md`;
      if (await this.#write(key, () => layerReadme(layer))) written.push(key);
    }
    return written;
  }

  /** Every layer with its stored models, newest version last. */
  async list(): Promise<readonly LayerListing[]> {
    const listings: LayerListing[] = [];
    for (const layer of this.#layers) listings.push({ ...layer, stored: await this.stored(layer.layer) });
    return listings;
  }

  /** Records of a layer, or of one model of it; by name and version. */
  async stored(layer: string, name?: string): Promise<readonly LayerRecord[]> {
    const prefix = name === undefined ? `layers/${layer}/` : modelPrefix(layer, name);
    const records: LayerRecord[] = [];
    for await (const { key } of this.#store.list(prefix)) {
      if (key.endsWith(".json")) records.push(await this.#readRecord(key));
    }
    return records;
  }

  async #readRecord(key: string): Promise<LayerRecord> {
    const { body } = await this.#store.get(key);
    const parsed = recordSchema.safeParse(JSON.parse((await readAll(body)).toString("utf8")));
    if (parsed.success) return parsed.data;
    throw new HubError({
      code: "INTEGRITY",
      message: `${key} in ${this.#store.describe()} is no record of a layer's model: ${parsed.error.issues[0]?.path.join(".")} ${parsed.error.issues[0]?.message}.`,
      details: { key },
    });
  }

  /**
   * Stores local files as a model of a layer. Content that the layer holds already is skipped, whatever its name; the same name with other
   * content is refused unless `asNewVersion`. A reader sees the new version whole or not at all.
   *
   * @param paths - the model's files, or one folder of them
   * @throws {@link HubError} NOT_FOUND, CONFLICT, INTEGRITY (another digest than `metadata.sha256`), UNEXPECTED_CONTENT (an error page saved as
   * a model), LICENCE_NOT_ACCEPTED, INVALID_REQUEST
   */
  async push(
    layer: string,
    paths: readonly { readonly path: string; readonly name: string }[],
    metadata: LayerMetadata,
    { actor = null, signal, asNewVersion = false, onProgress, ...policy }: PushOptions = {},
  ): Promise<PushReport> {
    const facts = this.#complete(this.layer(layer), metadata);
    const licence = facts.licence === "unknown" ? null : facts.licence;
    assertLicence({ id: `${layer}/${facts.name}`, licence, isGated: false }, policy);
    const sources = await this.#digests(paths, { signal, onProgress });
    const files: LayerFile[] = sources.map(({ name, bytes, sha256, md5 }) => ({ name, bytes, sha256, md5 }));
    const sha256 = digestOfFiles(files);
    const { expected } = facts;
    if (expected !== null && expected !== sha256) {
      throw new HubError({
        code: "INTEGRITY",
        message: `${facts.name} has SHA-256 ${sha256}, expected ${expected}. Nothing was stored.`,
        details: { expected, actual: sha256 },
      });
    }
    for (let tries = 1; ; tries++) {
      const before = await this.stored(layer);
      const existing = before.find((record) => record.sha256 === sha256);
      if (existing !== undefined) return { skipped: true, record: existing, warnings: facts.warnings };
      const newest = before.filter(({ name }) => name === facts.name).at(-1);
      if (newest !== undefined && !asNewVersion) {
        throw new HubError({
          code: "CONFLICT",
          message: `${layer} holds ${facts.name} with other content (SHA-256 ${newest.sha256}). Give another name, or store it as a new version (asNewVersion, --as-new-version).`,
          details: { layer, name: facts.name, existing: newest.sha256, given: sha256 },
        });
      }
      for (const source of sources) await this.#putBlob(source, { signal, onProgress });
      const record: LayerRecord = {
        schema: 1,
        layer,
        name: facts.name,
        version: (newest?.version ?? 0) + 1,
        architecture: facts.architecture,
        tasks: facts.tasks,
        files,
        bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
        sha256,
        md5: files.length === 1 ? files[0]!.md5 : null,
        source_url: facts.sourceUrl,
        licence: facts.licence,
        training_data: facts.trainingData,
        metrics: facts.metrics,
        input_spec: facts.inputSpec,
        uploaded_by: actor,
        uploaded_at: new Date(this.#clock.now()).toISOString(),
        tool_version: TOOL_VERSION,
      };
      const key = recordKey(layer, facts.name, record.version);
      try {
        await this.#store.put(key, Buffer.from(`${JSON.stringify(record, null, 2)}\n`), { ifAbsent: true });
      } catch (error) {
        // Somebody else stored this version in between: look again.
        if (HubError.isInstance(error) && error.code === "CONFLICT" && tries < TRIES) continue;
        throw error;
      }
      await this.#write(`${modelPrefix(layer, facts.name)}README.md`, (previous) => layerCard(record, previous));
      await this.#ledger?.append({
        id: `layer:${layer}/${facts.name}@${record.version}`,
        sha256,
        licence: facts.licence,
        accepted_by: actor,
      });
      return { skipped: false, record, warnings: facts.warnings };
    }
  }

  /** What is known of a model: what was given, the layer's configuration, the catalogue, in this order. */
  #complete({ layer, tasks: known, models }: LayerConfig, given: LayerMetadata) {
    const invalid = (path: string, message: string): HubError =>
      new HubError({ code: "INVALID_REQUEST", message, details: { issues: [{ path, message }] } });
    if (!MODEL_NAME.test(given.name))
      throw invalid(
        "name",
        `${JSON.stringify(given.name.slice(0, 200))} is no name: use 1 to 128 of A-Z a-z 0-9 . _ -`,
      );
    const configured = models.find(({ name }) => name === given.name);
    const entry = configured?.catalogue === undefined ? null : catalogue.get(configured.catalogue);
    const architecture = given.architecture ?? configured?.architecture;
    const tasks = given.tasks ?? configured?.tasks ?? [];
    if (architecture === undefined)
      throw invalid("architecture", `${given.name} is not configured in ${layer}: name its architecture.`);
    const foreign = tasks.filter((task) => !known.includes(task));
    if (tasks.length === 0 || foreign.length > 0) {
      const why = tasks.length === 0 ? `${given.name} needs a task` : `"${foreign.join(", ")}" is no task of ${layer}`;
      throw invalid("task", `${why}; its tasks are ${known.join(", ")}.`);
    }
    const [only] = entry?.files ?? [];
    const expected = given.sha256 ?? configured?.sha256 ?? (entry?.files.length === 1 ? only?.sha256 : null) ?? null;
    const warnings = Object.entries(given.metrics ?? {})
      .filter(([, value]) => !Number.isFinite(value))
      .map(([name]) => `metric ${name} is not finite and was left out`);
    return {
      name: given.name,
      architecture,
      tasks: [...tasks],
      licence: given.licence ?? configured?.licence ?? entry?.licence ?? "unknown",
      sourceUrl: given.sourceUrl ?? only?.urls[0] ?? null,
      trainingData: given.trainingData ?? configured?.training_data ?? null,
      metrics: Object.fromEntries(Object.entries(given.metrics ?? {}).filter(([, value]) => Number.isFinite(value))),
      inputSpec: given.inputSpec ?? configured?.input_spec ?? null,
      expected: expected?.toLowerCase() ?? null,
      warnings,
    };
  }

  /** MD5 and SHA-256 of every file, before anything is sent: a duplicate costs no upload. */
  async #digests(
    paths: readonly { readonly path: string; readonly name: string }[],
    { signal, onProgress }: Pick<PushOptions, "signal" | "onProgress">,
  ): Promise<(LayerFile & { path: string })[]> {
    if (paths.length === 0)
      throw new HubError({ code: "INVALID_REQUEST", message: "A model needs at least one file." });
    const files: (LayerFile & { path: string })[] = [];
    for (const { path, name } of paths) {
      if (files.some((file) => file.name === name))
        throw new HubError({ code: "INVALID_REQUEST", message: `Two files of the model are called ${name}.` });
      await assertModelFile(path, name);
      const { sha256, md5, bytes } = await hashFile({ path, md5: true, signal });
      onProgress?.({ phase: "hashing", file: name, doneBytes: bytes, totalBytes: bytes });
      files.push({ path, name, bytes, sha256, md5: md5! });
    }
    return files;
  }

  async #putBlob(
    { path, name, bytes, sha256, md5 }: LayerFile & { path: string },
    { signal, onProgress }: Pick<PushOptions, "signal" | "onProgress">,
  ): Promise<void> {
    const key = blobKey(sha256);
    const known = await this.#store.head(key);
    if (known?.bytes !== bytes) {
      try {
        await this.#store.put(key, readPieces(path), {
          bytes,
          sha256,
          // A torn object of an earlier crash may be there with another length.
          ifAbsent: known === null,
          ...(signal === undefined ? {} : { signal }),
          onBytes: (doneBytes) => onProgress?.({ phase: "storing", file: name, doneBytes, totalBytes: bytes }),
        });
      } catch (error) {
        const isThere = HubError.isInstance(error) && error.code === "CONFLICT";
        if (!isThere) throw error;
      }
    } else if (known.md5 !== null && known.md5 !== md5) {
      throw new HubError({
        code: "INTEGRITY",
        message: `${key} in ${this.#store.describe()} was stored with MD5 ${known.md5}; the file has ${md5}.`,
        details: { key },
      });
    }
    onProgress?.({ phase: "done", file: name, doneBytes: bytes, totalBytes: bytes });
  }

  /** Replaces a small text that others may write too. @returns false when it is as it should be */
  async #write(key: string, render: (previous: string) => string): Promise<boolean> {
    for (let tries = 1; ; tries++) {
      const before = await this.#readText(key);
      const text = render(before?.text ?? "");
      if (before?.text === text) return false;
      try {
        await this.#store.put(
          key,
          Buffer.from(text),
          before === null ? { ifAbsent: true } : { ifMatch: before.info.etag },
        );
        return true;
      } catch (error) {
        const isRace = HubError.isInstance(error) && (error.code === "STALE" || error.code === "CONFLICT");
        if (!isRace || tries >= TRIES) throw error;
      }
    }
  }

  async #readText(key: string): Promise<{ text: string; info: ObjectInfo } | null> {
    try {
      const { info, body } = await this.#store.get(key);
      return { text: (await readAll(body)).toString("utf8"), info };
    } catch (error) {
      if (HubError.isInstance(error) && error.code === "NOT_FOUND") return null;
      throw error;
    }
  }

  /** README of a stored model. @throws {@link HubError} NOT_FOUND */
  async card(layer: string, name: string): Promise<string> {
    const found = await this.#readText(`${modelPrefix(this.layer(layer).layer, name)}README.md`);
    if (found !== null) return found.text;
    throw new HubError({ code: "NOT_FOUND", message: `${layer} holds no model ${name}.`, details: { layer, name } });
  }

  /**
   * A stored model of a layer as verified files on this machine: by name, or the first that does `task` in the configuration's order, then
   * by name. Always the newest version.
   *
   * @throws {@link HubError} NOT_FOUND saying how the model gets here, INTEGRITY when the store's bytes are damaged
   */
  async resolve(
    layerName: string,
    { task, model }: { task?: string | undefined; model?: string | undefined },
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Promise<ResolvedLayerModel> {
    const layer = this.layer(layerName);
    if (task === undefined && model === undefined) {
      throw new HubError({
        code: "INVALID_REQUEST",
        message: `Name a task of ${layerName} (${layer.tasks.join(", ")}) or a model.`,
      });
    }
    const warnings: string[] = [];
    const wanted = model === undefined ? undefined : replacement(layer, model, warnings);
    const order = (name: string): number => {
      const at = layer.models.findIndex((candidate) => candidate.name === name);
      return at < 0 ? layer.models.length : at;
    };
    const records = (await this.stored(layerName, wanted))
      .filter(
        ({ name, tasks }) => (wanted === undefined || name === wanted) && (task === undefined || tasks.includes(task)),
      )
      .sort(
        (a, b) => order(a.name) - order(b.name) || (a.name < b.name ? -1 : a.name > b.name ? 1 : b.version - a.version),
      );
    const [record] = records;
    if (record === undefined) throw notStored(layer, { task, model: wanted });
    const configured = layer.models.find(({ name }) => name === record.name);
    const directory = join(this.#directory, record.sha256);
    const paths: string[] = [];
    for (const file of record.files) {
      paths.push(
        await localCopy({
          store: this.#store,
          directory,
          file,
          records: this.#records,
          now: () => this.#clock.now(),
          signal,
        }),
      );
    }
    const { name, version, architecture, tasks, bytes, sha256, md5, licence } = record;
    return {
      layer: layerName,
      name,
      version,
      architecture,
      tasks,
      path: paths.length === 1 ? paths[0]! : directory,
      bytes,
      sha256,
      md5,
      licence,
      sourceUrl: record.source_url,
      inputSpec: record.input_spec,
      when: configured?.when ?? null,
      settings: { ...layer.architectures[architecture], ...configured?.settings },
      warnings,
    };
  }
}

/** Name of the model that does the work of one without weights. */
function replacement({ models }: LayerConfig, name: string, warnings: string[]): string {
  const id = models.find((model) => model.name === name)?.catalogue;
  const other = id === undefined ? null : catalogue.get(id).replacedBy;
  if (other === null) return name;
  warnings.push(`${name} has no official weights; ${other} does the same work and is used instead.`);
  return models.find((model) => model.catalogue === other)?.name ?? other;
}

/** How a model can be brought into its layer. */
export function howToGet(layer: string, { name, catalogue: id, source }: LayerModel): string {
  const entry = id === undefined ? null : catalogue.get(id);
  const isFetched =
    source !== undefined || (entry !== null && entry.availability !== "manual" && entry.availability !== "none");
  return isFetched
    ? `seg-hub layers pull ${layer} --model ${name}`
    : `fetch it by hand, then seg-hub layers push ${layer} FILE --name ${name}`;
}

function notStored(
  layer: LayerConfig,
  { task, model }: { task?: string | undefined; model?: string | undefined },
): HubError {
  const candidates = layer.models.filter(
    (candidate) =>
      (model === undefined || candidate.name === model) && (task === undefined || candidate.tasks.includes(task)),
  );
  const [first] = candidates;
  const isTask = task === undefined || layer.tasks.includes(task);
  const hint = !isTask
    ? `its tasks are ${layer.tasks.join(", ")}`
    : first === undefined
      ? `store one with seg-hub layers push ${layer.layer} FILE --name NAME`
      : howToGet(layer.layer, first);
  return new HubError({
    code: "NOT_FOUND",
    message: `${layer.layer} holds no ${model === undefined ? "model" : `model ${model}`}${task === undefined ? "" : ` for ${task}`}: ${hint}.`,
    details: { layer: layer.layer, task: task ?? null, model: model ?? null },
  });
}

/** @throws {@link HubError} NOT_FOUND, UNEXPECTED_CONTENT */
async function assertModelFile(path: string, name: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null || !found.isFile())
    throw new HubError({ code: "NOT_FOUND", message: `${path} is no file.`, details: { path } });
  if (!/^[A-Za-z0-9][A-Za-z0-9!_.*'()-]{0,199}$/.test(name))
    throw new HubError({
      code: "INVALID_REQUEST",
      message: `${JSON.stringify(name.slice(0, 200))} is no plain file name.`,
    });
  if (isTextFile(name)) return;
  const file = await open(path, "r");
  try {
    const head = Buffer.alloc(512);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    const why = unexpectedBody(head.subarray(0, bytesRead));
    if (why === null && bytesRead > 0) return;
    throw new HubError({
      code: "UNEXPECTED_CONTENT",
      message: `${name} is no model: ${bytesRead === 0 ? "it is empty" : why}. Drive pages must be confirmed in a browser before the file comes. Nothing was stored.`,
      details: { path },
    });
  } finally {
    await file.close();
  }
}

/** The files of a path: itself, or all files directly in the folder, by name. */
export async function filesAt(path: string): Promise<{ path: string; name: string }[]> {
  const found = await stat(path).catch(() => null);
  if (found === null) throw new HubError({ code: "NOT_FOUND", message: `${path} does not exist.`, details: { path } });
  if (!found.isDirectory()) return [{ path, name: basename(path) }];
  const names = (await readdir(path, { withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
  return names.sort().map((name) => ({ path: join(path, name), name }));
}
