import { isAbsolute, resolve as resolvePath } from "node:path";
import { HubError } from "../errors.js";
import { parseHttpUrl } from "../internal/http-client.js";

export type SourceName = "hf" | "civitai" | "url" | "local" | "catalogue";

/** A model, wherever it lies. */
export type ModelRef =
  | { readonly source: "hf"; readonly repo: string; readonly revision: string | null; readonly path: string | null }
  | {
      readonly source: "civitai";
      readonly model: string | null;
      readonly version: string | null;
      readonly file: string | null;
    }
  | { readonly source: "url"; readonly url: string }
  | { readonly source: "local"; readonly path: string }
  | { readonly source: "catalogue"; readonly id: string };

const HF_REPO = /^[A-Za-z0-9][\w.-]{0,95}(\/[\w.-]{1,96})?$/;
const AIR = /^(?:urn:)?air:([\w-]+):([\w-]+):([\w-]+):([^@+.\s]+)(?:@([\w-]+))?(?:\+(\d+))?(?:\.([\w-]+))?$/i;

const invalid = (text: string, why: string): HubError =>
  new HubError({
    code: "INVALID_REQUEST",
    message: `${JSON.stringify(text)} names no model: ${why}. Write hf:owner/name[@revision][:path], civitai:<model>[@<version>], urn:air:..., url:https://..., local:path or a catalogue id.`,
    details: { ref: text },
  });

/**
 * Parses a canonical id, an AIR URN or a shorthand: a bare http(s) URL is a `url:`, `owner/name` is `hf:`, a path that starts with `.`,
 * `/` or a drive is `local:`, any other word is a catalogue id. Revisions follow `@`, one file of a Hugging Face repository follows `:`.
 *
 * @throws {@link HubError} `INVALID_REQUEST`
 * @example parseModelRef("hf:facebook/sam-vit-base@main:model.safetensors")
 */
export function parseModelRef(text: string): ModelRef {
  const given = text.trim();
  if (given === "" || given.length > 4096) throw invalid(text, "it is empty or too long");
  if (/^(urn:)?air:/i.test(given)) return parseAir(given);
  // Other schemes are refused by name; a drive has one letter.
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(given))
    return { source: "url", url: parseHttpUrl(given, "INVALID_REQUEST").href };
  const prefix = /^(hf|civitai|url|local|catalogue):/.exec(given)?.[1];
  const rest = prefix === undefined ? given : given.slice(prefix.length + 1);
  switch (prefix) {
    case "url":
      return { source: "url", url: parseHttpUrl(rest, "INVALID_REQUEST").href };
    case "local":
      if (rest === "") throw invalid(text, "the path is missing");
      return { source: "local", path: resolvePath(rest) };
    case "civitai": {
      const match = /^(\d+)?(?:@(\d+))?(?:\+(\d+))?$/.exec(rest);
      if (match === null || (match[1] === undefined && match[2] === undefined))
        throw invalid(text, "CivitAI ids are numbers");
      return { source: "civitai", model: match[1] ?? null, version: match[2] ?? null, file: match[3] ?? null };
    }
    case "catalogue":
      return { source: "catalogue", id: rest };
    case "hf":
      return parseHf(rest, text);
    default:
      if (/^\.{1,2}([/\\]|$)/.test(given) || isAbsolute(given)) return { source: "local", path: resolvePath(given) };
      if (given.includes("/")) return parseHf(given, text);
      if (!/^[\w.+-]+$/.test(given)) throw invalid(text, "it is neither a path, an URL nor a catalogue id");
      return { source: "catalogue", id: given };
  }
}

function parseHf(rest: string, text: string): ModelRef {
  const match = /^([^@:]+)(?:@([^:]+))?(?::(.+))?$/.exec(rest);
  const repo = match?.[1] ?? "";
  // As the hub itself: no `--` or `..` in a repository's name, which also keeps the cache folder's name reversible.
  if (match === null || !HF_REPO.test(repo) || /--|\.\.|\.git$/.test(repo))
    throw invalid(text, `"${repo}" is no repository`);
  const revision = match[2] ?? null;
  if (revision !== null && !isSafeRevision(revision)) throw invalid(text, `"${revision}" is no revision`);
  return { source: "hf", repo, revision, path: match[3] ?? null };
}

/** Whether a branch, tag or commit name may become a path below `refs/`. */
export function isSafeRevision(revision: string): boolean {
  return (
    revision.length <= 250 &&
    /^[\w][\w./+-]*$/.test(revision) &&
    !revision.split("/").some((part) => part === "" || part.startsWith(".") || part.endsWith(".lock"))
  );
}

function parseAir(text: string): ModelRef {
  const match = AIR.exec(text);
  if (match === null) throw invalid(text, "the AIR URN is malformed");
  const [, , , source = "", id = "", version, file] = match;
  if (source.toLowerCase() === "huggingface") return parseHf(id + (version === undefined ? "" : `@${version}`), text);
  if (source.toLowerCase() !== "civitai") throw invalid(text, `AIR source "${source}" is not known here`);
  if (!/^\d+$/.test(id)) throw invalid(text, "CivitAI ids are numbers");
  return { source: "civitai", model: id, version: version ?? null, file: file ?? null };
}

/** `urn:air:{ecosystem}:{type}:civitai:{model}[@version][+file][.format]`, lower case. */
export function formatAir({
  ecosystem,
  type,
  model,
  version,
  file = null,
  format = null,
}: {
  ecosystem: string;
  type: string;
  model: string;
  version: string | null;
  file?: string | null;
  format?: string | null;
}): string {
  const word = (name: string) => name.toLowerCase().replace(/[^a-z0-9]+/g, "");
  return `urn:air:${word(ecosystem)}:${word(type)}:civitai:${model}${version === null ? "" : `@${version}`}${file === null ? "" : `+${file}`}${format === null ? "" : `.${word(format)}`}`;
}

/** The canonical id of a reference; parsing it gives the reference back. */
export function formatModelRef(ref: ModelRef): string {
  switch (ref.source) {
    case "hf":
      return `hf:${ref.repo}${ref.revision === null ? "" : `@${ref.revision}`}${ref.path === null ? "" : `:${ref.path}`}`;
    case "civitai":
      return `civitai:${ref.model ?? ""}${ref.version === null ? "" : `@${ref.version}`}${ref.file === null ? "" : `+${ref.file}`}`;
    case "url":
      return `url:${ref.url}`;
    case "local":
      return `local:${ref.path}`;
    case "catalogue":
      return `catalogue:${ref.id}`;
  }
}
