/** Removes secrets from text that is shown, logged or kept in an error: known tokens, bearer headers, credentials and signatures in URLs. */
export function redact(text: string, secrets: readonly (string | null | undefined)[] = []): string {
  let clean = text;
  for (const secret of secrets) {
    // A shorter "token" would blank out ordinary words.
    if (secret && secret.length >= 4) clean = clean.split(secret).join("***");
  }
  return clean
    .replace(/\b(Bearer|Basic)\s+[^\s"',]+/gi, "$1 ***")
    .replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^/\s@]+@/gi, "$1***@")
    .replace(
      /([?&](?:token|access_token|api_key|key|sig|signature|X-Amz-[A-Za-z-]+|Policy|Key-Pair-Id)=)[^&\s"']+/gi,
      "$1***",
    );
}
