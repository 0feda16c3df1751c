import { absent } from "../absent.js";
import type { AppDeps, ServerLimits } from "../deps.js";
import { given } from "../given.js";
import { readUpload } from "../read-upload.js";
import { ok, type Route, route } from "../route.js";
import { PredictFields, Prediction } from "../schemas/predict.js";

/** Runs registered models on pictures. */
export function predictRoutes({
  predictor,
  uploadDirectory,
  limits,
}: Pick<AppDeps, "predictor" | "uploadDirectory"> & { limits: ServerLimits }): Route[] {
  return [
    route({
      method: "post",
      path: "/model/predict",
      id: "predict",
      tag: "Prediction",
      summary: "Find objects in a picture with the active version, or another one",
      description: "The model is loaded at its first call and kept while there is room in the pool.",
      access: "user",
      multipart: PredictFields,
      answers: { 200: { description: "The objects, best first", schema: Prediction } },
      errors: [
        "NO_ACTIVE_VERSION",
        "NOT_FOUND",
        "INVALID_STATE",
        "UNSUPPORTED_TYPE",
        "TOO_LARGE",
        "POOL_FULL",
        "POOL_TIMEOUT",
        "MODEL_TOO_LARGE",
      ],
      async handle({ request, noteTarget }) {
        if (predictor === undefined) {
          throw absent("prediction");
        }
        const upload = await readUpload({
          request,
          fields: PredictFields,
          directory: uploadDirectory,
          maxBytes: limits.maxUploadBytes,
        });
        try {
          const { model = "default", ...fields } = upload.fields;
          const prediction = await predictor.predict({ ...given(fields), model, image: upload.path });
          noteTarget(`${model}@${prediction.version}`);
          return ok(prediction);
        } finally {
          await upload.discard();
        }
      },
    }),
  ];
}
