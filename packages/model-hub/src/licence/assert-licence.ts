import { HubError } from "../errors.js";
import { classifyLicence } from "./classify-licence.js";

/** What a user agreed to beforehand. */
export interface LicencePolicy {
  /** Refuse everything that is not permissive (AGPL, non-commercial, own terms, unknown). @defaultValue false */
  readonly permissiveOnly?: boolean | undefined;
  /** Agree to unknown, non-commercial, own or gated terms; who agreed goes to the ledger. @defaultValue false */
  readonly acceptLicence?: boolean | undefined;
}

/**
 * Passes when `licence` may be installed under `policy`.
 * @throws {@link HubError} `LICENCE_NOT_ACCEPTED`, saying which terms apply and how to agree
 */
export function assertLicence(
  { id, licence, isGated }: { id: string; licence: string | null; isGated: boolean },
  { permissiveOnly = false, acceptLicence = false }: LicencePolicy,
): void {
  const name = licence ?? "unknown";
  const kind = classifyLicence(licence);
  const details = { id, licence: name, class: kind, gated: isGated };
  if (permissiveOnly && kind !== "permissive") {
    throw new HubError({
      code: "LICENCE_NOT_ACCEPTED",
      message: `${id} is under "${name}" (${kind}), and only permissive licences are allowed here (permissiveOnly). Choose another model or lift the restriction.`,
      details,
    });
  }
  const needsConsent = kind === "unknown" || kind === "non-commercial" || kind === "restricted" || isGated;
  if (needsConsent && !acceptLicence) {
    throw new HubError({
      code: "LICENCE_NOT_ACCEPTED",
      message: `${id} is under "${name}" (${kind}${isGated ? ", gated" : ""}). Read the terms, then pass acceptLicence (--accept-licence); the consent is recorded in the licence ledger.`,
      details,
    });
  }
}
