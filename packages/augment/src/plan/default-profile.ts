import { DEFAULT_PROFILE } from "../generated/default-profile.js";
import { defineProfile, type Profile } from "./profile.js";

let profile: Profile | null = null;

/** The profile of this package: `profiles/default.yaml`. Immutable, checked at first use. */
export function defaultProfile(): Profile {
  profile ??= defineProfile(DEFAULT_PROFILE);
  return profile;
}
