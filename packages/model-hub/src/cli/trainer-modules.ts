import type { TrainerModule } from "../training/types.js";

/** `module[#export]` of trainers, as `--trainer` gives them. */
export const trainerModules = (given: readonly string[]): readonly TrainerModule[] =>
  given.map((text) => {
    const [module, name] = text.split("#") as [string, string | undefined];
    return { module, ...(name === undefined ? {} : { export: name }) };
  });
