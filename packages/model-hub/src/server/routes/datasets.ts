import { createReadStream } from "node:fs";
import { z } from "zod";
import type { AppDeps, ServerLimits } from "../deps.js";
import { given } from "../given.js";
import { readUpload } from "../read-upload.js";
import { ok, type Route, route } from "../route.js";
import { Done, Flag, Name } from "../schemas/common.js";
import { Dataset, Datasets, UploadFields, UploadReport } from "../schemas/datasets.js";

const params = z.strictObject({ name: Name });

export function datasetRoutes({
  datasets,
  limits,
  uploadDirectory,
}: Pick<AppDeps, "datasets" | "uploadDirectory"> & { limits: ServerLimits }): Route[] {
  return [
    route({
      method: "get",
      path: "/model/datasets",
      id: "listDatasets",
      tag: "Data sets",
      summary: "Data that can be trained on, with counts",
      access: "user",
      answers: { 200: { description: "Stored data sets, and the CSV columns that are accepted", schema: Datasets } },
      async handle() {
        return ok({ ...(await datasets.list()), schemas: datasets.schemas() });
      },
    }),
    route({
      method: "post",
      path: "/model/upload-dataset",
      id: "uploadDataset",
      tag: "Data sets",
      summary: "Store a COCO .json, a .zip of images and COCO, or a .csv",
      access: "admin",
      query: z.strictObject({ validate_only: Flag.optional().describe("Check and store nothing") }),
      multipart: UploadFields,
      answers: {
        200: { description: "The same name and bytes were there already, or validate_only", schema: UploadReport },
        201: { description: "Stored", schema: UploadReport },
      },
      errors: ["TOO_LARGE", "UNSUPPORTED_TYPE", "SCHEMA", "CONFLICT", "NO_SPACE"],
      async handle({ query: { validate_only }, request, principal, noteTarget }) {
        const upload = await readUpload({
          request,
          fields: UploadFields,
          directory: uploadDirectory,
          maxBytes: limits.maxUploadBytes,
        });
        try {
          const report = await datasets.upload({
            stream: createReadStream(upload.path, { highWaterMark: 1024 ** 2 }),
            file_name: upload.fileName,
            created_by: principal.name,
            maxBytes: limits.maxUploadBytes,
            signal: request.signal,
            ...given({ name: upload.fields.dataset_name, schema: upload.fields.schema, validate_only }),
          });
          noteTarget(report.dataset_name);
          return { status: report.stored && !report.existing ? 201 : 200, json: report };
        } finally {
          await upload.discard();
        }
      },
    }),
    route({
      method: "get",
      path: "/model/dataset/{name}",
      id: "getDataset",
      tag: "Data sets",
      summary: "One data set",
      access: "user",
      params,
      answers: { 200: { description: "The data set", schema: Dataset } },
      errors: ["NOT_FOUND"],
      async handle({ params: { name } }) {
        return ok(await datasets.get(name));
      },
    }),
    route({
      method: "delete",
      path: "/model/dataset/{name}",
      id: "deleteDataset",
      tag: "Data sets",
      summary: "Delete a data set; versions trained on it keep its fingerprint",
      access: "admin",
      params,
      answers: { 200: { description: "Deleted", schema: Done } },
      errors: ["NOT_FOUND"],
      async handle({ params: { name }, noteTarget }) {
        noteTarget(name);
        await datasets.delete(name);
        return ok({ success: true, message: `Data set ${name} was deleted.` });
      },
    }),
  ];
}
