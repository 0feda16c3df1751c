import type { CommandGroup, CommandTable, LeafCommand } from "../command.js";
import { isGroup } from "../command.js";

/** A command of `seg hub`: its words in `seg-hub`, which carries it out. */
interface HubCommand extends LeafCommand {
  readonly hubWords: string;
}

const leaf = (
  hubWords: string,
  summary: string,
  positional?: string,
  more: Pick<LeafCommand, "examples" | "notes"> = {},
): HubCommand => ({
  hubWords,
  summary,
  isStoppable: true,
  ...(positional === undefined ? {} : { positional }),
  ...more,
  load: async () => (await import("../hub/hub-command.js")).hubCommand(hubWords, words),
});

const ACTIVE = [
  "The active version is the one that POST /model/predict and the dashboard use; there is one for each --model.",
];

/** `seg hub`: the commands of `seg-hub`, the frequent ones by one word. */
export const hub: CommandGroup = {
  summary: "find, fetch, store, version and compare models",
  subcommands: {
    search: leaf("search", "search the catalogue, Hugging Face and CivitAI", "TEXT...", {
      examples: ["hub search segment anything --kind checkpoint --permissive-only"],
    }),
    list: leaf("models list", "models of the catalogue; * = on this machine", undefined, {
      examples: ["hub list --role teacher", "hub list --installed"],
    }),
    status: leaf("models status", "what is installed, where, and whether it is intact", "ID", {
      examples: ["hub status --verify"],
    }),
    install: leaf("models install", "bring a model of the catalogue here, verified", "ID", {
      notes: [
        "A download that was stopped goes on where it was. A wrong checksum ends with exit code 3, and nothing is kept.",
      ],
      examples: ["hub install sam_vit_b", "hub install mobilesam --from ./mobile_sam.pt --offline"],
    }),
    download: leaf("download", "fetch any hf:owner/name, civitai:ID, AIR URN or URL, verified", "REF", {
      examples: ["hub download hf:facebook/sam-vit-base --allow '*.safetensors' --allow '*.json'"],
    }),
    remove: leaf("models remove", "remove an installed model's files", "ID"),
    verify: leaf("models verify", "hash every cached file again; exit code 3 when one is damaged"),
    prune: leaf("models prune", "remove cached files that no model uses"),
    identify: leaf("identify", "say which published model a local file is", "FILE..."),
    simulate: leaf("simulate", "walk through a fine-tuning on a stand-in, without network or engine", "ID"),
    upload: leaf("registry register", "store local files as a new version of a model", "PATH...", {
      examples: ["hub upload runs/bags/optimized --model bags --metric map50=0.91 --description 'second camera'"],
      notes: ["A folder is stored with its subfolders. Restoration models go into a layer: seg hub layers push."],
    }),
    versions: leaf("registry list", "versions of a model, newest first"),
    show: leaf("registry show", "one version with its files, checksums and metrics", "VERSION"),
    compare: leaf("registry compare", "two versions, metric by metric", "A B", {
      examples: ["hub compare v20261101_080000 v20261127_180000 --model bags"],
    }),
    activate: leaf("registry activate", "make a version the one in use", "VERSION", { notes: ACTIVE }),
    deactivate: leaf("registry deactivate", "leave no version in use"),
    rollback: leaf("registry rollback", "go back to the version that was active before", undefined, { notes: ACTIVE }),
    history: leaf("registry history", "who activated what, when and why"),
    delete: leaf("registry delete", "delete a version; never the active one", "VERSION"),
    repair: leaf("registry repair", "write the folders of all versions again; exit code 3 when one is damaged"),
    gc: leaf("registry gc", "delete stored bytes that no version needs and that are older than a week"),
    retrain: leaf("retrain", "train on a registered data set, as a job"),
    jobs: {
      summary: "trainings and other work that runs in the background",
      subcommands: {
        list: leaf("jobs", "jobs, newest first"),
        watch: leaf("jobs watch", "follow a job to its end", "JOB"),
        cancel: leaf("jobs cancel", "stop a job; it can be resumed", "JOB"),
        resume: leaf("jobs resume", "go on with a job that was stopped", "JOB"),
      },
    },
    datasets: {
      summary: "data sets that can be trained on",
      subcommands: {
        list: leaf("datasets list", "data sets of the hub"),
        add: leaf("datasets add", "add COCO, a ZIP of images and COCO, or a table", "FILE"),
      },
    },
    layers: {
      summary: "restoration models by stage of a pipeline",
      subcommands: {
        init: leaf("layers init", "make the folders or the bucket"),
        list: leaf("layers list", "layers with the models they hold", "LAYER"),
        pull: leaf("layers pull", "download a layer's models from their official sources", "LAYER"),
        push: leaf("layers push", "store local files in a layer", "LAYER FILE..."),
        resolve: leaf("layers resolve", "verified local path of the model for a task", "LAYER"),
        card: leaf("layers card", "README of a stored model", "LAYER MODEL"),
      },
    },
    tokens: {
      summary: "who may call the HTTP API",
      subcommands: {
        create: leaf("tokens create", "make a token; its secret is shown once"),
        list: leaf("tokens list", "tokens without their secrets"),
        revoke: leaf("tokens revoke", "end a token", "ID"),
      },
    },
    advise: leaf("advise", "what to train, by rules and by what earlier runs taught", "FILE"),
    feedback: {
      summary: "what people say of runs",
      subcommands: {
        give: leaf("feedback", "rate a run, comment on it", "RUN", {
          examples: ["hub feedback give run-7 --rating 4 --comment 'soft edges' --tag night"],
        }),
        export: leaf("feedback export", "everything that is kept of a person"),
        forget: leaf("feedback forget", "remove what is kept of a person"),
      },
    },
    stats: leaf("stats", "what runs and feedback say"),
  },
};

/** Words of `seg` by those of `seg-hub`, longest first: what a message advises must work as it is typed. */
const words: readonly (readonly [hub: string, seg: string])[] = (() => {
  const pairs: [string, string][] = [["serve", "seg serve"]];
  const walk = (table: CommandTable, path: string) => {
    for (const [name, command] of Object.entries(table)) {
      if (isGroup(command)) walk(command.subcommands, `${path} ${name}`);
      else pairs.push([(command as HubCommand).hubWords, `${path} ${name}`]);
    }
  };
  walk(hub.subcommands, "seg hub");
  return pairs.sort(([a], [b]) => b.length - a.length);
})();
