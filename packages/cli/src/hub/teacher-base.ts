import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { type CatalogueEntry, catalogue, createHub, SamModelManager } from "@seg/model-hub";
import { CommandError } from "../errors.js";
import { didYouMean } from "../option-names.js";
import type { Output } from "../output.js";
import { EMBEDDED_GROUNDING_DINO, groundingDinoDirectory } from "../teacher/detector-teacher.js";
import { EMBEDDED_SAM, samDirectory } from "../teacher/mask-teacher.js";
import { convertNativeSam } from "./native-sam.js";

type Teacher = "grounding_dino" | "sam";

/** Families of the catalogue whose networks seg can adapt, in Hugging Face layout. */
const FAMILIES: Readonly<Record<Teacher, readonly string[]>> = {
  sam: ["sam", "medsam"],
  grounding_dino: ["grounding_dino"],
};
const EMBEDDED: Readonly<Record<Teacher, string>> = { sam: EMBEDDED_SAM, grounding_dino: EMBEDDED_GROUNDING_DINO };

/** Models of the catalogue that `seg train-teacher` can adapt. */
export const adaptableEntries = (teacher: Teacher): readonly CatalogueEntry[] =>
  catalogue.entries.filter(
    ({ family, format, hf_id }) => FAMILIES[teacher].includes(family) && format !== "onnx" && hf_id !== null,
  );

/** The manager over the caches that the environment names. */
export const teacherManager = (): SamModelManager => new SamModelManager({ hub: createHub() });

/** Where converted checkpoints lie: beside the caches. */
const conversionsFolder = (): string => join(createHub().environment.segHome, "converted");

/**
 * What a name means: a folder on this machine, or a model of the catalogue, which is not fetched here.
 * @throws {@link CommandError} `cli/sam-not-found`, `cli/grounding-dino-not-found`, `cli/teacher-not-adaptable`
 */
export function findTeacherBase(
  teacher: Teacher,
  name: string,
): { readonly folder: string; readonly entry: null } | { readonly folder: null; readonly entry: CatalogueEntry } {
  // What lies on this machine under that very name is meant.
  const entry =
    name === EMBEDDED[teacher] || existsSync(join(resolve(name), "config.json")) ? null : catalogue.find(name);
  if (entry === null) {
    if (!existsSync(name) && !/[/\\]/.test(name) && name !== EMBEDDED[teacher]) {
      const known = adaptableEntries(teacher).flatMap(({ id, hf_id }) => [id, hf_id?.split("/").at(-1) ?? id]);
      const title = teacher === "sam" ? "SAM" : "Grounding DINO";
      throw new CommandError({
        code: teacher === "sam" ? "cli/sam-not-found" : "cli/grounding-dino-not-found",
        message: `There is no ${title} "${name}", neither as a folder nor as a model.${didYouMean(name, [...known, EMBEDDED[teacher]])} seg train-teacher --list-models shows them.`,
      });
    }
    return { folder: teacher === "sam" ? samDirectory(name) : groundingDinoDirectory(name), entry };
  }
  const adaptable = adaptableEntries(teacher);
  if (!adaptable.includes(entry)) {
    throw new CommandError({
      code: "cli/teacher-not-adaptable",
      message: `${entry.id} is no ${teacher === "sam" ? "SAM" : "Grounding DINO"} that can be adapted. Choose ${adaptable.map(({ id }) => id).join(", ")}, a folder, or ${EMBEDDED[teacher]}.`,
    });
  }
  return { folder: null, entry };
}

/**
 * Folder of a teacher's base weights: the embedded model, a folder, or a model of the catalogue, which is fetched and verified once
 * (from Hugging Face, whose layout the training reads; a native checkpoint of SAM is converted) and found in the cache from then on.
 *
 * @throws {@link CommandError} `cli/sam-not-found`, `cli/grounding-dino-not-found`, `cli/teacher-not-adaptable`; HubError
 */
export async function resolveTeacherBase({
  teacher,
  name,
  manager = teacherManager(),
  output,
  acceptLicence = false,
  offline,
  signal,
  conversions = conversionsFolder(),
}: {
  teacher: Teacher;
  name: string;
  manager?: Pick<SamModelManager, "ensure">;
  output?: Output;
  acceptLicence?: boolean;
  offline?: boolean | undefined;
  signal?: AbortSignal;
  /** Folder for conversions of native checkpoints. */
  conversions?: string;
}): Promise<{ readonly folder: string; readonly entry: CatalogueEntry | null }> {
  const { folder, entry } = findTeacherBase(teacher, name);
  if (entry === null) return { folder, entry };
  const { path, sha256, format, origin, wasCached, fallbacksTried } = await manager.ensure(entry.id, {
    prefer: "transformers",
    acceptLicence,
    ...(offline === undefined ? {} : { offline }),
    signal,
    onProgress: ({ phase, doneBytes, totalBytes, etaS }) => {
      if (phase !== "downloading" || totalBytes === null) return;
      output?.progress({
        label: entry.id,
        done: Math.round(doneBytes / 1e6),
        total: Math.round(totalBytes / 1e6),
        detail: "MB",
        ...(etaS === null ? {} : { etaSeconds: etaS }),
      });
    },
    onEvent(event) {
      if (event.type === "step") output?.line(`${entry.id}: trying ${event.source}`);
      else if (event.type === "failed")
        output?.line(`${entry.id}: ${event.step.source}: ${event.step.code} ${event.step.message}`);
      else if (event.type === "warning") output?.line(`warning: ${event.message}`);
    },
  });
  output?.line(`${entry.id}: ${wasCached ? "in the cache" : "installed"} from ${origin}, ${path}`);
  if (format === "transformers") return { folder: path, entry };
  if (teacher === "sam") {
    output?.line(`${entry.id}: converting the native checkpoint, once`);
    return { folder: convertNativeSam({ file: path, sha256, directory: conversions }), entry };
  }
  throw new CommandError({
    code: "cli/teacher-native-only",
    message: `Only the native checkpoint of ${entry.id} could be had (${path}); training reads the layout of ${entry.hf_id}. ${fallbacksTried.map(({ source, message }) => `${source}: ${message}`).join(" ")}`,
  });
}

/** `--list-models`: what can be adapted, and what of it is here. */
export async function listAdaptable(manager: SamModelManager, output: Output): Promise<void> {
  const installed = new Set((await manager.list({ installed: true })).map(({ id }) => id));
  const models = (["grounding_dino", "sam"] as const).flatMap((teacher) => [
    {
      teacher,
      id: EMBEDDED[teacher],
      description: "the small one of this toolkit",
      licence: "Apache-2.0",
      hf_id: null,
      installed: true,
    },
    ...adaptableEntries(teacher).map(({ id, description, licence, hf_id }) => ({
      teacher,
      id,
      description,
      licence,
      hf_id,
      installed: installed.has(id),
    })),
  ]);
  for (const model of models) {
    const option = model.teacher === "sam" ? "--sam" : "--teacher";
    output.line(
      `${model.installed ? "*" : " "} ${option.padEnd(9)} ${model.id.padEnd(30)} ${model.licence.padEnd(12)} ${model.description}${model.hf_id === null ? "" : ` (${model.hf_id})`}`,
    );
  }
  output.result({ command: "train-teacher", models });
}

/** `--show-manager-status`: state of those models, disk and cache. */
export async function showManagerStatus(manager: SamModelManager, output: Output): Promise<void> {
  const status = await manager.status();
  const ids = new Set([...adaptableEntries("sam"), ...adaptableEntries("grounding_dino")].map(({ id }) => id));
  const models = status.models.filter(({ id }) => ids.has(id));
  for (const { id, state, bytes, origin, path } of models) {
    output.line(
      `${state.padEnd(10)} ${id.padEnd(20)} ${(bytes / 1e6).toFixed(1).padStart(9)} MB  ${origin ?? ""}  ${path ?? ""}`,
    );
  }
  output.line(`cache ${(status.cacheBytes / 1e6).toFixed(1)} MB, free ${(status.diskFree / 1e6).toFixed(0)} MB`);
  output.result({ command: "train-teacher", models, cacheBytes: status.cacheBytes, diskFree: status.diskFree });
}
