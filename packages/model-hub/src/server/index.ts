/**
 * The hub over HTTP: a Fetch handler, its OpenAPI document, and a server for Node.
 * @module
 */
export { type AuditEntry, type AuditLog, FileAuditLog } from "./audit.js";
export { createApp, type HubApp } from "./create-app.js";
export { type AppDeps, DEFAULT_LIMITS, type ServerFault, type ServerLimits } from "./deps.js";
export { connectSources, type HubParts, hubPort, installHandler } from "./hub-port.js";
export { connectLayers, layerPullHandler, layersPort } from "./layers-port.js";
export { type ConnectedHubOptions, openConnectedHub } from "./open-connected-hub.js";
export { type HubServer, type HubServerOptions, openHubServer } from "./open-hub-server.js";
export { type OpenApiDocument, openApiDocument } from "./openapi.js";
export type { Facts, HubPort, LayersPort, PredictedInstance, PredictorPort, SearchWarning } from "./ports.js";
export { type Problem, type ProblemIssue, problemOf } from "./problem.js";
export { MemoryRateLimiter, type RateDecision, type RateLimit, type RateLimiter } from "./rate-limit.js";
export { type RedisEval, RedisRateLimiter } from "./redis-rate-limit.js";
export { type RunningServer, serve } from "./serve.js";
