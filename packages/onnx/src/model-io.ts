import { createHash, randomUUID } from "node:crypto";
import { type FileHandle, open, readFile, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { decodeModel } from "./decode.js";
import { encodeChunks, MAX_MESSAGE_BYTES } from "./encode.js";
import { ExternalDataMissingError, ExternalDataPathError, ModelTooLargeError } from "./errors.js";
import { externalPathProblem } from "./external-path.js";
import { externalizeTensors } from "./externalize-tensors.js";
import type { Model, Tensor } from "./model.js";
import { mapTensors, tensorsOf } from "./scopes.js";
import { payloadBytes } from "./tensor.js";

/**
 * Reads a model file and the external data that it names; every tensor of the result has its payload in memory.
 *
 * @param options.externalData - false leaves external tensors as references. @defaultValue true
 * @throws {@link MalformedProtobufError} for a damaged file, {@link ExternalDataPathError} for data outside the model's folder,
 *   {@link ExternalDataMissingError} for data that is absent, cut short or of another checksum.
 */
export async function loadModel(
  path: string,
  { externalData = true }: { externalData?: boolean } = {},
): Promise<Model> {
  const model = decodeModel(await readFile(path));
  if (!externalData) return model;
  const loaded = new Map<Tensor, Uint8Array>();
  const files = new Map<string, FileHandle>();
  try {
    const folder = await realpath(dirname(path));
    for (const tensor of tensorsOf(model.graph))
      if (tensor.externalData) loaded.set(tensor, await readExternal({ tensor, folder, files }));
  } finally {
    for (const file of files.values()) await file.close();
  }
  if (loaded.size === 0) return model;
  const graph = mapTensors(model.graph, (tensor) => {
    const rawData = loaded.get(tensor);
    if (!rawData) return tensor;
    const { externalData: _, ...rest } = tensor;
    return { ...rest, rawData };
  });
  return { ...model, graph };
}

async function readExternal({
  tensor,
  folder,
  files,
}: {
  tensor: Tensor;
  folder: string;
  files: Map<string, FileHandle>;
}): Promise<Uint8Array> {
  const entry = (key: string): string | undefined => tensor.externalData?.find((e) => e.key === key)?.value;
  const location = entry("location") ?? "";
  const at = { tensor: tensor.name, location };
  const problem = externalPathProblem(location);
  if (problem) throw new ExternalDataPathError({ ...at, reason: problem });
  let file = files.get(location);
  if (!file) {
    let real: string;
    try {
      real = await realpath(join(folder, location));
    } catch (cause) {
      throw new ExternalDataMissingError({ ...at, reason: "the file does not exist", cause });
    }
    const prefix = folder.endsWith(sep) ? folder : folder + sep;
    if (!real.startsWith(prefix))
      throw new ExternalDataPathError({ ...at, reason: "a symbolic link leads out of the folder" });
    file = await open(real, "r");
    files.set(location, file);
  }
  const offset = Number(entry("offset") ?? 0);
  const expected = payloadBytes(tensor.dataType, tensor.dims);
  const { size } = await file.stat();
  const length = Number(entry("length") ?? expected ?? size - offset);
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0)
    throw new ExternalDataMissingError({
      ...at,
      reason: `offset "${entry("offset")}" or length "${entry("length")}" is no size`,
    });
  if (expected !== null && length !== expected)
    throw new ExternalDataMissingError({ ...at, reason: `length ${length}, expected ${expected} bytes` });
  if (offset + length > size)
    throw new ExternalDataMissingError({ ...at, reason: `bytes ${offset}..${offset + length} of a file of ${size}` });
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, Math.min(length - done, 1 << 30), offset + done);
    if (bytesRead === 0)
      throw new ExternalDataMissingError({ ...at, reason: "the file became shorter while being read" });
    done += bytesRead;
  }
  const checksum = entry("checksum");
  if (checksum && createHash("sha1").update(bytes).digest("hex") !== checksum.toLowerCase())
    throw new ExternalDataMissingError({ ...at, reason: "the SHA-1 checksum differs" });
  return bytes;
}

/**
 * Writes a model (temporary name, fsync, rename). Above 2 GiB, or on request, initializers of 1024 bytes and more go to
 * `{file name}.data` beside it, at multiples of 4096.
 *
 * @param options.externalData - true always, false never. @defaultValue only above 2 GiB
 * @throws {@link ModelTooLargeError} above 2 GiB with `externalData: false`.
 */
export async function saveModel(
  model: Model,
  path: string,
  { externalData }: { externalData?: boolean } = {},
): Promise<void> {
  for (const tensor of tensorsOf(model.graph)) {
    if (!tensor.externalData) continue;
    const location = tensor.externalData.find(({ key }) => key === "location")?.value;
    const reason = externalPathProblem(location);
    if (reason) throw new ExternalDataPathError({ tensor: tensor.name, location: location ?? "", reason });
  }
  let external = externalData === true;
  if (externalData === undefined) {
    try {
      await writeAtomic(path, encodeChunks(model));
      return;
    } catch (error) {
      if (!(error instanceof ModelTooLargeError)) throw error;
      external = true;
    }
  }
  if (!external) {
    await writeAtomic(path, encodeChunks(model));
    return;
  }
  const location = `${basename(path)}.data`;
  const { model: references, chunks: payload } = externalizeTensors(model, { location });
  const chunks = encodeChunks(references); // throws before anything is written
  if (payload.length > 0) await writeAtomic(join(dirname(path), location), payload);
  await writeAtomic(path, chunks);
}

async function writeAtomic(path: string, chunks: readonly Uint8Array[]): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, "wx");
    try {
      // writev takes at most 1024 buffers (IOV_MAX) and writes at most 2 GiB a call.
      for (let i = 0; i < chunks.length; ) {
        const group: Uint8Array[] = [];
        let bytes = 0;
        while (
          i < chunks.length &&
          group.length < 1000 &&
          (group.length === 0 || bytes + chunks[i]!.length <= 1 << 30)
        ) {
          bytes += chunks[i]!.length;
          group.push(chunks[i++]!);
        }
        await writeAll(file, group, bytes);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** writev may write less than asked (a full pipe, a huge buffer): the rest follows piece by piece. */
async function writeAll(file: FileHandle, group: readonly Uint8Array[], bytes: number): Promise<void> {
  let { bytesWritten } = await file.writev([...group]);
  if (bytesWritten === bytes) return;
  for (const part of group) {
    if (bytesWritten >= part.length) {
      bytesWritten -= part.length;
      continue;
    }
    let at = bytesWritten;
    bytesWritten = 0;
    while (at < part.length) {
      const length = Math.min(part.length - at, MAX_MESSAGE_BYTES);
      at += (await file.write(part, at, length)).bytesWritten;
    }
  }
}
