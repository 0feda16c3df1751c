import { nextVersionMs, versionName } from "../src/registry/version-name.js";

/** One action of a random history; versions are named by the order of their registration, out of range ones are unknown. */
export type Action =
  | {
      readonly type: "register";
      readonly alias: string | null;
      readonly parent: number | null;
      readonly complete: boolean;
    }
  | { readonly type: "activate" | "delete" | "force-delete" | "rollback-to" | "fail"; readonly version: number }
  | { readonly type: "rollback" | "deactivate" }
  | { readonly type: "patch"; readonly version: number; readonly alias: string | null; readonly stale: boolean }
  | { readonly type: "wait"; readonly ms: number };

interface Version {
  readonly name: string;
  readonly parent: string | null;
  state: "pending" | "ready" | "failed" | "deleted";
  alias: string | null;
  rowVersion: number;
}

export interface Entry {
  readonly kind: "activate" | "rollback" | "deactivate";
  readonly version: string | null;
  readonly previous: string | null;
}

/** The registry's rules said as plainly as possible: everything in memory, the stack replayed from the history each time. */
export class ReferenceRegistry {
  readonly versions: Version[] = [];
  readonly history: Entry[] = [];
  #lastMs = 0;
  readonly now: () => number;
  constructor(now: () => number) {
    this.now = now;
  }

  get active(): string | null {
    return this.history.at(-1)?.version ?? null;
  }

  /** Applies an action. @returns "ok" or the error's code */
  apply(action: Action): string {
    switch (action.type) {
      case "wait":
        return "ok";
      case "register": {
        const alias = action.alias;
        if (alias !== null && this.versions.some((version) => version.alias === alias)) return "CONFLICT";
        this.#lastMs = nextVersionMs(this.now(), this.#lastMs);
        this.versions.push({
          name: versionName(this.#lastMs),
          parent: action.parent === null ? null : (this.versions[action.parent]?.name ?? null),
          state: action.complete ? "ready" : "pending",
          alias,
          rowVersion: 1,
        });
        return "ok";
      }
      case "activate": {
        const version = this.#find(action.version);
        if (version === null) return "NOT_FOUND";
        // Blobs are looked at first: those of a version that is not complete are missing.
        if (version.state !== "ready") return "INTEGRITY";
        if (version.name !== this.active) this.#append("activate", version.name);
        return "ok";
      }
      case "deactivate":
        if (this.active === null) return "NO_ACTIVE_VERSION";
        this.#append("deactivate", null);
        return "ok";
      case "rollback": {
        const target = this.#rollbackTarget(() => true);
        if (target === null) return "NO_PREVIOUS_VERSION";
        this.#append("rollback", target);
        return "ok";
      }
      case "rollback-to": {
        const version = this.#find(action.version);
        if (version === null) return "NOT_FOUND";
        if (version.name === this.active) return "ok";
        const target = this.#rollbackTarget((name) => name === version.name);
        if (target === null && version.state !== "ready") return "INVALID_STATE";
        this.#append(target === null ? "activate" : "rollback", version.name);
        return "ok";
      }
      case "delete":
      case "force-delete": {
        const version = this.#find(action.version);
        if (version === null) return "NOT_FOUND";
        if (version.name === this.active) return "VERSION_ACTIVE";
        const isParent = this.versions.some(({ parent, state }) => state !== "deleted" && parent === version.name);
        if (action.type === "delete" && (version.alias !== null || isParent)) return "CONFLICT";
        version.state = "deleted";
        version.alias = null;
        return "ok";
      }
      case "fail": {
        const version = this.#find(action.version);
        if (version === null) return "NOT_FOUND";
        if (version.state !== "pending") return "INVALID_STATE";
        version.state = "failed";
        version.rowVersion++;
        return "ok";
      }
      case "patch": {
        const version = this.#find(action.version);
        if (version === null) return "NOT_FOUND";
        if (action.stale) return "STALE";
        const owner = this.versions.find(({ alias }) => alias !== null && alias === action.alias);
        if (owner !== undefined && owner !== version) return "CONFLICT";
        version.alias = action.alias;
        version.rowVersion++;
        return "ok";
      }
    }
  }

  #find(index: number): Version | null {
    const version = this.versions[index];
    return version === undefined || version.state === "deleted" ? null : version;
  }

  #append(kind: Entry["kind"], version: string | null): void {
    this.history.push({ kind, version, previous: this.active });
  }

  #stack(): (string | null)[] {
    const stack: (string | null)[] = [];
    for (const { kind, version } of this.history) {
      if (kind === "rollback") {
        stack.pop();
        while (stack.at(-1) !== version) stack.pop();
      } else stack.push(version);
    }
    return stack;
  }

  #rollbackTarget(isWanted: (name: string) => boolean): string | null {
    const below = this.#stack().slice(0, -1).reverse();
    const isReady = (name: string | null): name is string =>
      this.versions.some((version) => version.name === name && version.state === "ready");
    return below.find((name): name is string => isReady(name) && name !== this.active && isWanted(name)) ?? null;
  }
}
