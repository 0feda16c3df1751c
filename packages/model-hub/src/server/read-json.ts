import { HubError } from "../errors.js";

/**
 * The JSON body of `request`, bytes counted as they come.
 *
 * @returns undefined for an empty body
 * @throws HubError TOO_LARGE, UNSUPPORTED_TYPE, INVALID_REQUEST
 */
export async function readJson(request: Request, { maxBytes }: { maxBytes: number }): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  if (request.body !== null) {
    for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > maxBytes) {
        throw new HubError({
          code: "TOO_LARGE",
          message: `The body is larger than ${maxBytes} bytes.`,
          details: { max_bytes: maxBytes },
        });
      }
      chunks.push(chunk);
    }
  }
  if (bytes === 0) return undefined;
  const type = request.headers.get("content-type") ?? "";
  if (!/^application\/(?:[\w.-]+\+)?json\b/i.test(type)) {
    throw new HubError({
      code: "UNSUPPORTED_TYPE",
      message: `Send JSON with Content-Type: application/json; got "${type.slice(0, 100)}".`,
    });
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
  } catch (cause) {
    throw new HubError({
      code: "INVALID_REQUEST",
      message: `The body is no JSON: ${cause instanceof Error ? cause.message.slice(0, 200) : "unreadable"}`,
      cause,
      details: { issues: [{ path: "body", message: "is no JSON" }] },
    });
  }
}
