/**
 * How freely a licence lets a model be used. `restricted` are terms of their own (OpenRAIL, community licences, the SAM License);
 * `unknown` is what no source states: a licence is never inferred.
 */
export type LicenceClass = "permissive" | "copyleft" | "non-commercial" | "restricted" | "unknown";

const PERMISSIVE =
  /^(apache-?2(\.0)?|mit(-0)?|bsd(-[234]-clause(-clear)?)?|isc|zlib|unlicense|0bsd|cc0-1\.0|cc-by-(2\.0|2\.5|3\.0|4\.0)|artistic-2\.0|ms-pl|bsl-1\.0|afl-3\.0|ecl-2\.0|postgresql|ncsa|cdla-permissive-[12]\.0|pddl|wtfpl)$/;
const COPYLEFT = /^(agpl|gpl|lgpl|mpl|epl|eupl|osl|cc-by-sa|gfdl)\b/;
const NON_COMMERCIAL = /(^|[-\s])(nc|non-?commercial|research[- ]only|academic)\b/;

/**
 * Class of a licence by its identifier (SPDX, Hugging Face's lower-case tags, or the words a publisher uses).
 * @example classifyLicence("AGPL-3.0") // "copyleft"
 */
export function classifyLicence(licence: string | null): LicenceClass {
  const name = (licence ?? "").trim().toLowerCase();
  if (name === "" || name === "unknown") return "unknown";
  if (NON_COMMERCIAL.test(name)) return "non-commercial";
  if (PERMISSIVE.test(name)) return "permissive";
  if (COPYLEFT.test(name)) return "copyleft";
  return "restricted";
}
