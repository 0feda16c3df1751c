import { z } from "zod";
import { parseConfig } from "../core/parse-config.js";
import { AugmentConfigError } from "../errors.js";

/** How strong transforms are as a whole: profiles scale their probabilities and ranges by it. @defaultValue medium */
export type Intensity = "low" | "medium" | "high";
export const INTENSITIES: readonly Intensity[] = ["low", "medium", "high"];

const number = z.number().refine(Number.isFinite, { error: "expected a finite number" });
const pair = z.tuple([number, number]).readonly();
const value = z.union([number, pair]);
/** One value per intensity. */
const perIntensity = <T extends z.ZodType>(inner: T) => z.tuple([inner, inner, inner]).readonly();
const name = z.string().min(1);

const addition = z.strictObject({
  type: name,
  /** Code of a triple of probabilities, or the triple. */
  p: z.union([name, perIntensity(number)]),
  params: z.record(name, perIntensity(value)).optional(),
  /** Runs only for samples that have them. */
  requires: z.enum(["masks"]).optional(),
});
const cap = z.strictObject({ type: name, param: name, within: pair });
const restriction = z.strictObject({ type: name, param: name, to: perIntensity(pair) });

const influence = z.strictObject({
  /** Transforms it asks for. */
  add: z.array(addition).optional(),
  /** Limits of a parameter, whoever asked for it; the smallest wins. */
  caps: z.array(cap).optional(),
  /** Narrower ranges for what the base set asks for. */
  restrict: z.array(restriction).optional(),
  /** Types that must not run. */
  veto: z.array(name).optional(),
  /** Groups that only a characteristic may ask for. */
  suppress: z.array(name).optional(),
  instances: z.strictObject({ visibilityByMaskOnly: z.boolean().optional() }).optional(),
});

const schema = z.strictObject({
  schemaVersion: z.literal(1, { error: "expected 1" }),
  tiers: z.strictObject({ low: pair, medium: pair, high: pair }),
  budgets: z.strictObject({ low: number, medium: number, high: number }),
  codes: z.record(name, perIntensity(number)),
  groups: z.record(name, z.array(name).min(1)),
  magnitudes: z.record(name, z.record(name, perIntensity(value))),
  base: influence,
  characteristics: z.record(name, influence),
  environments: z.strictObject({
    lighting: z.record(name, influence),
    camera: z.record(name, influence),
    background: z.record(name, influence),
    distance: z.record(name, influence),
  }),
  facts: z.record(name, influence),
});

/** What a characteristic, an environment value or a fact does to a plan. */
export type Influence = z.infer<typeof influence>;
/** The tables of characteristics, environments, facts, tiers and budgets: data, replaceable as a whole. */
export type Profile = z.infer<typeof schema>;

export const AXES = ["lighting", "camera", "background", "distance"] as const;
export type Axis = (typeof AXES)[number];

/** Probability of an addition at an intensity (0 low, 1 medium, 2 high). */
export function additionP(profile: Profile, p: string | readonly number[], level: number): number {
  return typeof p === "string" ? profile.codes[p]![level]! : p[level]!;
}

/**
 * Checks a profile: known codes, every p inside its tier, members of one group only.
 * @throws AugmentConfigError naming the place
 */
export function defineProfile(input: unknown): Profile {
  const profile = parseConfig(schema, input, "profile", { keys: Object.keys(schema.shape) }) as Profile;
  const member = new Map<string, string>();
  for (const [group, types] of Object.entries(profile.groups)) {
    for (const type of types) {
      const other = member.get(type);
      if (other !== undefined) {
        throw new AugmentConfigError({
          path: `profile.groups.${group}`,
          message: `${type} is in the group ${other} too; a type has one group.`,
        });
      }
      member.set(type, group);
    }
  }
  const check = (influenceOf: Influence, path: string) => {
    (influenceOf.add ?? []).forEach(({ p }, i) => {
      const at = `${path}.add[${i}].p`;
      if (typeof p === "string" && !Object.hasOwn(profile.codes, p)) {
        throw new AugmentConfigError({
          path: at,
          message: `unknown code "${p}". Known: ${Object.keys(profile.codes).join(", ")}.`,
        });
      }
      INTENSITIES.forEach((intensity, level) => {
        const [low, high] = profile.tiers[intensity];
        const chosen = additionP(profile, p, level);
        if (!(chosen >= low && chosen <= high)) {
          throw new AugmentConfigError({
            path: at,
            message: `${chosen} is outside the tier ${intensity}, [${low}, ${high}].`,
          });
        }
      });
    });
    for (const [i, group] of (influenceOf.suppress ?? []).entries()) {
      if (!Object.hasOwn(profile.groups, group)) {
        throw new AugmentConfigError({ path: `${path}.suppress[${i}]`, message: `unknown group "${group}".` });
      }
    }
  };
  check(profile.base, "profile.base");
  for (const [key, entry] of Object.entries(profile.characteristics)) check(entry, `profile.characteristics.${key}`);
  for (const axis of AXES) {
    for (const [key, entry] of Object.entries(profile.environments[axis])) {
      check(entry, `profile.environments.${axis}.${key}`);
    }
  }
  for (const [key, entry] of Object.entries(profile.facts)) check(entry, `profile.facts.${key}`);
  return profile;
}
