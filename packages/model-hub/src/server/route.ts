import type { z } from "zod";
import type { HubErrorCode } from "../errors.js";
import type { Principal } from "../tokens/types.js";

/** Who may call: nobody needs a token, any valid token, only role admin. */
export type Access = "open" | "user" | "admin";

/** What a handler gets: parsed input, never the raw request's text. */
export interface RouteCall<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly request: Request;
  /** Null on open routes. */
  readonly principal: Principal;
  /** Names the thing acted on, for the audit log. */
  noteTarget(target: string): void;
}

/** A JSON answer; handlers that stream return a Response. */
export interface Answer {
  readonly status: number;
  readonly json: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One possible answer in the OpenAPI document. */
export interface AnswerSpec {
  readonly description: string;
  /** Absent: the answer is not JSON, see `contentType`. */
  readonly schema?: z.ZodType;
  /** @defaultValue "application/json" */
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * One endpoint: the OpenAPI document, the checks of a request and the handler come from the same object, so they cannot differ.
 * Paths are written as OpenAPI has them (`/jobs/{id}`).
 */
export interface Route<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
> {
  readonly method: "get" | "post" | "delete" | "patch";
  readonly path: string;
  /** Name of the client's method. */
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly access: Access;
  readonly params?: Params;
  readonly query?: Query;
  /** JSON body. */
  readonly body?: Body;
  /** An empty body counts as `{}`. @defaultValue false */
  readonly isBodyOptional?: boolean;
  /** Fields of a `multipart/form-data` body beside `file`; the handler reads the stream itself. */
  readonly multipart?: z.ZodObject;
  /** Request headers for the document. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly answers: Readonly<Record<number, AnswerSpec>>;
  /** Errors of its own, beside those that every route can give. */
  readonly errors?: readonly HubErrorCode[];
  handle(call: RouteCall<z.output<Params>, z.output<Query>, z.output<Body>>): Promise<Answer | Response>;
}

/** Keeps the types of a route's schemas for its handler. */
export function route<
  Params extends z.ZodType = z.ZodType<Record<string, never>>,
  Query extends z.ZodType = z.ZodType<Record<string, never>>,
  Body extends z.ZodType = z.ZodType<undefined>,
>(definition: Route<Params, Query, Body>): Route {
  return definition as unknown as Route;
}

/** 200 with `json`. */
export const ok = (json: unknown): Answer => ({ status: 200, json });
