import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the environment says about places, tokens and networks; the variables are those of Python's huggingface_hub. */
export interface HubEnvironment {
  /** `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `$HF_HOME/hub` or `~/.cache/huggingface/hub`. */
  readonly hfCache: string;
  /** `SEG_HUB_HOME` or `~/.cache/seg/hub`: caches of other sources, ledger, records. */
  readonly segHome: string;
  /** `HF_ENDPOINT`, without trailing slash. */
  readonly hfEndpoint: string;
  /** `CIVITAI_ENDPOINT`, without trailing slash. */
  readonly civitaiEndpoint: string;
  readonly hfToken: string | null;
  readonly civitaiToken: string | null;
  /** `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`. */
  readonly isOffline: boolean;
  /** `HF_HUB_DISABLE_SYMLINKS`. */
  readonly isWithoutSymlinks: boolean;
  /** Until headers arrive; `HF_HUB_ETAG_TIMEOUT`, seconds. @defaultValue 10000 */
  readonly metadataTimeoutMs: number;
  /** Between two chunks of a body; `HF_HUB_DOWNLOAD_TIMEOUT`, seconds. @defaultValue 30000 */
  readonly idleTimeoutMs: number;
}

const isTrue = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? "");

const seconds = (value: string | undefined, fallbackMs: number): number => {
  const given = Number(value);
  return value !== undefined && Number.isFinite(given) && given > 0 ? given * 1000 : fallbackMs;
};

const expand = (path: string, home: string): string =>
  resolve(path === "~" || path.startsWith("~/") ? join(home, path.slice(1)) : path);

/** Reads the environment once. An empty variable counts as absent. */
export function readHubEnvironment({
  env = process.env,
  home = homedir(),
}: {
  env?: Environment;
  home?: string;
} = {}): HubEnvironment {
  const get = (name: string): string | undefined => env[name]?.trim() || undefined;
  const cacheHome = expand(get("XDG_CACHE_HOME") ?? join(home, ".cache"), home);
  const hfHome = expand(get("HF_HOME") ?? join(cacheHome, "huggingface"), home);
  return {
    hfCache: expand(get("HF_HUB_CACHE") ?? get("HUGGINGFACE_HUB_CACHE") ?? join(hfHome, "hub"), home),
    segHome: expand(get("SEG_HUB_HOME") ?? join(cacheHome, "seg", "hub"), home),
    hfEndpoint: (get("HF_ENDPOINT") ?? "https://huggingface.co").replace(/\/+$/, ""),
    civitaiEndpoint: (get("CIVITAI_ENDPOINT") ?? "https://civitai.com").replace(/\/+$/, ""),
    hfToken: get("HF_TOKEN") ?? readToken(expand(get("HF_TOKEN_PATH") ?? join(hfHome, "token"), home)),
    civitaiToken: get("CIVITAI_TOKEN") ?? null,
    isOffline: isTrue(get("HF_HUB_OFFLINE")) || isTrue(get("TRANSFORMERS_OFFLINE")),
    isWithoutSymlinks: isTrue(get("HF_HUB_DISABLE_SYMLINKS")),
    metadataTimeoutMs: seconds(get("HF_HUB_ETAG_TIMEOUT"), 10_000),
    idleTimeoutMs: seconds(get("HF_HUB_DOWNLOAD_TIMEOUT"), 30_000),
  };
}

function readToken(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim() || null;
  } catch {
    // No login on this machine.
    return null;
  }
}
