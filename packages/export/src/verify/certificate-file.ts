import { createHash, createPrivateKey, createPublicKey, type KeyLike, sign, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ExportError } from "../errors.js";
import { writeJson } from "../write-text.js";
import type { Certificate } from "./verify-export.js";

/** Seal of a certificate file. */
export interface CertificateSeal {
  /** SHA-256 of the canonical JSON of everything but the seal. */
  readonly sha256: string;
  /** Ed25519 signature of that digest, base64, and the key that checks it; absent when no key was given. */
  readonly ed25519?: { readonly signature: string; readonly publicKey: string };
}

/** Content of `certificate.json`. */
export interface CertificateFile {
  readonly version: 1;
  readonly promptFree: boolean;
  readonly artefacts: readonly Certificate[];
  readonly seal: CertificateSeal;
}

/** JSON with sorted keys and no spaces, so that equal content has equal bytes. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return `{${entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`)
    .join(",")}}`;
}

const digestOf = (content: unknown): Buffer => createHash("sha256").update(canonical(content)).digest();

/**
 * Collects the certificates of one run in `certificate.json`, sealed by a hash over its content and, with a key, by an Ed25519 signature.
 *
 * @param options.privateKey - Ed25519 key, PEM or KeyObject. @defaultValue none: the seal is the hash alone
 * @returns its path
 */
export function writeCertificates(
  directory: string,
  certificates: readonly Certificate[],
  { privateKey }: { privateKey?: KeyLike } = {},
): string {
  const path = join(directory, "certificate.json");
  const content = {
    version: 1 as const,
    promptFree: certificates.length > 0 && certificates.every((c) => c.promptFree),
    artefacts: certificates,
  };
  const digest = digestOf(content);
  let seal: CertificateSeal = { sha256: digest.toString("hex") };
  if (privateKey !== undefined) {
    const key =
      typeof privateKey === "string" || Buffer.isBuffer(privateKey) ? createPrivateKey(privateKey) : privateKey;
    const publicKey = createPublicKey(key as Parameters<typeof createPublicKey>[0]).export({
      type: "spki",
      format: "pem",
    });
    seal = {
      ...seal,
      ed25519: { signature: sign(null, digest, key).toString("base64"), publicKey: String(publicKey) },
    };
  }
  writeJson(path, { ...content, seal } satisfies CertificateFile);
  return path;
}

/**
 * Checks a `certificate.json`: its seal, its signature, and that every artefact named in it lies beside it with the recorded hash.
 *
 * @param options.publicKey - whose signature is expected, PEM or KeyObject. @defaultValue a signature that is there must fit its own key
 * @throws ExportError `CERTIFICATE_INVALID` saying what does not fit
 */
export function checkCertificates(path: string, { publicKey }: { publicKey?: KeyLike } = {}): CertificateFile {
  const fail = (reason: string): ExportError =>
    new ExportError({
      code: "CERTIFICATE_INVALID",
      message: `${path} proves nothing: ${reason}. Run the export again.`,
      details: { path, reason },
    });
  const { seal, ...content } = JSON.parse(readFileSync(path, "utf8")) as CertificateFile;
  const digest = digestOf(content);
  if (seal?.sha256 !== digest.toString("hex")) throw fail("its content was changed after it was sealed");
  if (publicKey !== undefined && seal.ed25519 === undefined) throw fail("it is not signed");
  if (seal.ed25519 !== undefined) {
    const signature = Buffer.from(seal.ed25519.signature, "base64");
    const key = publicKey ?? seal.ed25519.publicKey;
    if (!verify(null, digest, key as Parameters<typeof verify>[2], signature)) throw fail("the signature does not fit");
  }
  for (const { file, fileSha256 } of content.artefacts) {
    let bytes: Buffer;
    try {
      bytes = readFileSync(join(dirname(path), file));
    } catch {
      throw fail(`${file} is not beside it`);
    }
    const actual = createHash("sha256").update(bytes).digest("hex");
    if (actual !== fileSha256)
      throw fail(`${file} has hash ${actual.slice(0, 12)}, certified was ${fileSha256.slice(0, 12)}`);
  }
  return { ...content, seal };
}
