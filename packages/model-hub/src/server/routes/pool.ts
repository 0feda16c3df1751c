import type { ModelPool } from "../../pool/model-pool.js";
import { absent } from "../absent.js";
import type { AppDeps } from "../deps.js";
import { ok, type Route, route } from "../route.js";
import { Cleaned, CleanupBody, PoolStatus } from "../schemas/advisor.js";
import { snakeCase } from "../snake-case.js";

/** Models in memory. */
export function poolRoutes({ pool }: Pick<AppDeps, "pool">): Route[] {
  const needPool = (): ModelPool => {
    if (pool !== undefined) return pool;
    throw absent("a model pool");
  };
  return [
    route({
      method: "get",
      path: "/pool/status",
      id: "poolStatus",
      tag: "Pool",
      summary: "Models in memory, room by device, counts",
      access: "user",
      answers: { 200: { description: "The pool", schema: PoolStatus } },
      errors: ["INVALID_STATE"],
      async handle() {
        return ok(snakeCase(needPool().status()));
      },
    }),
    route({
      method: "post",
      path: "/pool/cleanup",
      id: "cleanPool",
      tag: "Pool",
      summary: "Drop idle models until no device uses more than a share of its budget",
      access: "admin",
      body: CleanupBody,
      isBodyOptional: true,
      answers: { 200: { description: "Keys of what went", schema: Cleaned } },
      errors: ["INVALID_STATE"],
      async handle({ body: { target = 0 } }) {
        return ok({ dropped: await needPool().cleanup({ target }) });
      },
    }),
  ];
}
