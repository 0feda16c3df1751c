import { z } from "zod";
import { searchQuerySchema } from "../../sources/types.js";
import { absent } from "../absent.js";
import type { AppDeps, ServerLimits } from "../deps.js";
import { given } from "../given.js";
import { parseInput } from "../parse-input.js";
import type { HubPort, LayersPort } from "../ports.js";
import { readUpload } from "../read-upload.js";
import { ok, type Route, route } from "../route.js";
import {
  Catalogue,
  HubStatus,
  InstallBody,
  LayerName,
  Layers,
  PulledBody,
  PushFields,
  PushReport,
  ResolvedModel,
  SearchPage,
  SearchParameters,
} from "../schemas/hub.js";
import { snakeCase } from "../snake-case.js";
import { accepted, acceptedAnswer } from "./jobs.js";

const layerParams = z.strictObject({ layer: LayerName });

/** Sources, catalogue, installed models and layers. What takes long is a job. */
export function hubRoutes({
  hub,
  layers,
  jobs,
  limits,
  uploadDirectory,
}: Pick<AppDeps, "hub" | "layers" | "jobs" | "uploadDirectory"> & { limits: ServerLimits }): Route[] {
  const needHub = (): HubPort => {
    if (hub === undefined) throw absent("sources of models");
    return hub;
  };
  const needLayers = (): LayersPort => {
    if (layers === undefined) throw absent("layers");
    return layers;
  };
  return [
    route({
      method: "get",
      path: "/hub/search",
      id: "searchModels",
      tag: "Hub",
      summary: "Models of all sources",
      access: "user",
      query: SearchParameters,
      answers: { 200: { description: "Hits; a source that failed is a warning", schema: SearchPage } },
      errors: ["INVALID_STATE", "SOURCE_UNAVAILABLE"],
      async handle({ query: { base_model, min_downloads, permissive_only, ...query }, request }) {
        const asked = given({
          ...query,
          baseModel: base_model,
          minDownloads: min_downloads,
          permissiveOnly: permissive_only,
        });
        const { hits, warnings, nextCursor } = await needHub().search(parseInput(searchQuerySchema, asked, "query"), {
          signal: request.signal,
        });
        return ok(snakeCase({ hits, warnings, next_cursor: nextCursor }));
      },
    }),
    route({
      method: "get",
      path: "/hub/catalogue",
      id: "getCatalogue",
      tag: "Hub",
      summary: "Known models with sizes, digests and licences",
      access: "user",
      answers: { 200: { description: "The catalogue", schema: Catalogue } },
      errors: ["INVALID_STATE"],
      async handle() {
        return ok({ entries: snakeCase(needHub().catalogue()) });
      },
    }),
    route({
      method: "get",
      path: "/hub/status",
      id: "getHubStatus",
      tag: "Hub",
      summary: "What is installed",
      access: "user",
      query: z.strictObject({ id: z.string().min(1).max(200).optional() }),
      answers: { 200: { description: "State of one model or of all", schema: HubStatus } },
      errors: ["INVALID_STATE", "NOT_FOUND"],
      async handle({ query: { id } }) {
        return ok({ models: snakeCase(await needHub().status(id)) });
      },
    }),
    route({
      method: "post",
      path: "/hub/install",
      id: "installModel",
      tag: "Hub",
      summary: "Download and verify a model",
      access: "admin",
      body: InstallBody,
      answers: { 202: acceptedAnswer },
      errors: ["INVALID_STATE", "QUEUE_FULL"],
      async handle({ body, principal, noteTarget }) {
        needHub();
        noteTarget(body.id);
        const { id } = await jobs.enqueue({
          kind: "install",
          target: `install:${body.id}`,
          // Asking twice for the same model is one download.
          ifActive: "join",
          payload: given(body),
          created_by: principal.name,
        });
        return accepted(id);
      },
    }),
    route({
      method: "get",
      path: "/layers",
      id: "listLayers",
      tag: "Layers",
      summary: "Layers of restoration models",
      access: "user",
      answers: { 200: { description: "Layers with their models", schema: Layers } },
      errors: ["INVALID_STATE"],
      async handle() {
        return ok({ layers: snakeCase(await needLayers().list()) });
      },
    }),
    route({
      method: "get",
      path: "/layers/{layer}/resolve",
      id: "resolveLayer",
      tag: "Layers",
      summary: "A verified local file for a task of a layer",
      access: "user",
      params: layerParams,
      query: z.strictObject({
        task: z.string().min(1).max(128).optional(),
        model: z.string().min(1).max(200).optional(),
      }),
      answers: { 200: { description: "Where it lies, with its digest", schema: ResolvedModel } },
      errors: ["INVALID_STATE", "NOT_FOUND", "INTEGRITY"],
      async handle({ params: { layer }, query }) {
        return ok(snakeCase(await needLayers().resolve(layer, given(query))));
      },
    }),
    route({
      method: "post",
      path: "/layers/{layer}/models",
      id: "pushLayerModel",
      tag: "Layers",
      summary: "Store a local model in a layer, with its metadata",
      access: "admin",
      params: layerParams,
      multipart: PushFields,
      answers: {
        200: { description: "The same bytes were there already", schema: PushReport },
        201: { description: "Stored", schema: PushReport },
      },
      errors: [
        ...(["INVALID_STATE", "NOT_FOUND", "CONFLICT", "TOO_LARGE", "UNSUPPORTED_TYPE"] as const),
        ...(["LICENCE_NOT_ACCEPTED", "INTEGRITY", "UNEXPECTED_CONTENT"] as const),
      ],
      async handle({ params: { layer }, request, principal, noteTarget }) {
        const port = needLayers();
        const upload = await readUpload({
          request,
          fields: PushFields,
          directory: uploadDirectory,
          maxBytes: limits.maxUploadBytes,
        });
        try {
          noteTarget(`${layer}/${upload.fields.name}`);
          const report = await port.push(
            layer,
            { path: upload.path, fileName: upload.fileName },
            given(upload.fields),
            {
              actor: principal.name,
              signal: request.signal,
            },
          );
          return { status: report.skipped ? 200 : 201, json: snakeCase(report) };
        } finally {
          await upload.discard();
        }
      },
    }),
    route({
      method: "post",
      path: "/layers/{layer}/pull",
      id: "pullLayer",
      tag: "Layers",
      summary: "Download a layer's models from their official sources",
      access: "admin",
      params: layerParams,
      body: PulledBody,
      isBodyOptional: true,
      answers: { 202: acceptedAnswer },
      errors: ["INVALID_STATE", "QUEUE_FULL"],
      async handle({ params: { layer }, body, principal, noteTarget }) {
        needLayers();
        noteTarget(layer);
        const { id } = await jobs.enqueue({
          kind: "layer-pull",
          target: `layer-pull:${layer}`,
          ifActive: "join",
          payload: { layer, ...given(body) },
          created_by: principal.name,
        });
        return accepted(id);
      },
    }),
  ];
}
