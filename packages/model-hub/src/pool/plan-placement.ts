/** What an accelerator needs beyond the weights while a model runs. */
const HEADROOM = 1.5;

/** A part of a model that is loaded by itself. */
export interface Component {
  readonly name: string;
  readonly weightBytes: number;
  /** Image encoders and backbones: what an accelerator speeds up most. */
  readonly isHeavy: boolean;
}

/** How much of a model stays on the accelerator. */
export type OffloadStrategy = "none" | "balanced" | "aggressive";

/** Where each component lives. */
export interface PlacementPlan {
  readonly strategy: OffloadStrategy;
  /** Device by component: `accelerator`, `cpu`, or `accelerator while it runs`. */
  readonly placements: Readonly<Record<string, "accelerator" | "cpu" | "accelerator while it runs">>;
  /** Largest number of bytes on the accelerator at one time, headroom included. */
  readonly acceleratorBytes: number;
}

/**
 * Places the components of a model. `none`: all on the accelerator. `balanced`: heavy ones there, the others on the cpu. `aggressive`:
 * only the one that runs. `auto`: the first of these whose bytes x 1.5 fit, `aggressive` where none does (of `balanced` all heavy ones
 * together: they stay there at the same time).
 *
 * @param freeBytes - of the accelerator's budget
 */
export function planPlacement({
  components,
  freeBytes,
  strategy = "auto",
}: {
  components: readonly Component[];
  freeBytes: number;
  strategy?: OffloadStrategy | "auto";
}): PlacementPlan {
  const sum = (some: readonly Component[]) => some.reduce((bytes, { weightBytes }) => bytes + weightBytes, 0);
  const largest = Math.max(0, ...components.map(({ weightBytes }) => weightBytes));
  const heavy = components.filter(({ isHeavy }) => isHeavy);
  const resident = { none: sum(components), balanced: sum(heavy), aggressive: largest };
  const fits = (bytes: number) => bytes * HEADROOM <= freeBytes;
  const automatic = fits(resident.none) ? "none" : fits(resident.balanced) ? "balanced" : "aggressive";
  const chosen = strategy === "auto" ? automatic : strategy;
  const place = ({ isHeavy }: Component) => {
    if (chosen === "aggressive") return "accelerator while it runs";
    return chosen === "none" || isHeavy ? "accelerator" : "cpu";
  };
  return {
    strategy: chosen,
    placements: Object.fromEntries(components.map((component) => [component.name, place(component)])),
    acceleratorBytes: resident[chosen] * HEADROOM,
  };
}
