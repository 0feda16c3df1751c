import type { CliCommand } from "../command.js";

/** First word -> its commands, loaded when used: `seg-hub models list` must not load a database driver. */
export const commandGroups: Readonly<Record<string, () => Promise<readonly CliCommand[]>>> = {
  models: async () => (await import("./models.js")).modelCommands,
  simulate: async () => (await import("./models.js")).simulateCommands,
  search: async () => (await import("./search.js")).searchCommands,
  download: async () => (await import("./search.js")).downloadCommands,
  identify: async () => (await import("./identify.js")).identifyCommands,
  layers: async () => (await import("./layers.js")).layerCommands,
  registry: async () => (await import("./registry.js")).registryCommands,
  datasets: async () => (await import("./datasets.js")).datasetCommands,
  retrain: async () => (await import("./jobs.js")).retrainCommands,
  jobs: async () => (await import("./jobs.js")).jobCommands,
  advise: async () => (await import("./advisor.js")).adviseCommands,
  feedback: async () => (await import("./advisor.js")).feedbackCommands,
  stats: async () => (await import("./advisor.js")).statsCommands,
  serve: async () => (await import("./serve.js")).serveCommands,
  tokens: async () => (await import("./tokens.js")).tokenCommands,
};
