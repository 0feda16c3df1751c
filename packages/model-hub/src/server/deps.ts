import type { Advisor } from "../advisor/advisor.js";
import type { LearningStore } from "../advisor/learning-store.js";
import type { DatasetStorePort } from "../datasets/types.js";
import type { JobQueue } from "../jobs/types.js";
import type { ModelPool } from "../pool/model-pool.js";
import type { ModelRegistryPort } from "../registry/types.js";
import type { AuthenticatorPort, TokenStorePort } from "../tokens/types.js";
import type { SweepService } from "../training/sweep-service.js";
import type { RetrainServicePort } from "../training/types.js";
import type { AuditLog } from "./audit.js";
import type { HubPort, LayersPort, PredictorPort } from "./ports.js";
import type { RateLimiter } from "./rate-limit.js";

/** Numbers that bound what one client may ask; the defaults are those of `spec/model-hub.md` 2.7 and 2.8. */
export interface ServerLimits {
  /** Requests of one token in any minute; Infinity does not count them. @defaultValue 120 */
  readonly requestsPerMinute: number;
  /** Refused credentials of one address in any minute. @defaultValue 20 */
  readonly failedAuthsPerMinute: number;
  /** Seconds that `POST /model/retrain` holds the answer. @defaultValue 900 */
  readonly maxWaitS: number;
  /** Bytes of a JSON body. @defaultValue 1 MiB */
  readonly maxBodyBytes: number;
  /** Bytes of an uploaded file. @defaultValue 2 GiB */
  readonly maxUploadBytes: number;
}

/** Limits of a server: requests, uploads and waiting times. */
export const DEFAULT_LIMITS: ServerLimits = {
  requestsPerMinute: 120,
  failedAuthsPerMinute: 20,
  maxWaitS: 900,
  maxBodyBytes: 1024 ** 2,
  maxUploadBytes: 2 * 1024 ** 3,
};

/** A fault that the client is told nothing about. */
export interface ServerFault {
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  readonly error: unknown;
}

/** What the HTTP application is made of: ports, so that any store, queue or trainer can stand behind it. */
export interface AppDeps {
  readonly registry: ModelRegistryPort;
  readonly jobs: JobQueue;
  readonly retrain: RetrainServicePort;
  readonly datasets: DatasetStorePort;
  readonly tokens: TokenStorePort;
  readonly authenticator: AuthenticatorPort;
  readonly audit: AuditLog;
  /** @defaultValue none: `/hub` is refused with INVALID_STATE */
  readonly hub?: HubPort;
  /** @defaultValue none: `/layers` is refused with INVALID_STATE */
  readonly layers?: LayersPort;
  /** @defaultValue none: `/advisor` is refused with INVALID_STATE */
  readonly advisor?: Advisor;
  /** @defaultValue none: `/feedback` and `/insights` are refused with INVALID_STATE */
  readonly learning?: LearningStore;
  /** @defaultValue none: `/sweeps` is refused with INVALID_STATE */
  readonly sweeps?: SweepService;
  /** @defaultValue none: `/model/predict` is refused with INVALID_STATE */
  readonly predictor?: PredictorPort;
  /** @defaultValue none: `/pool` is refused with INVALID_STATE */
  readonly pool?: ModelPool;
  /** Where uploads lie while they are received and checked. */
  readonly uploadDirectory: string;
  /** @defaultValue in memory */
  readonly rateLimiter?: RateLimiter;
  readonly limits?: Partial<ServerLimits>;
  /** Proxies in front that append to `X-Forwarded-For`; 0 ignores the header, which a client can write. @defaultValue 0 */
  readonly trustedProxies?: number;
  /** Origins whose pages may call. @defaultValue none */
  readonly corsOrigins?: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Names a request in answers, audit log and faults. */
  readonly requestId?: () => string;
  readonly onFault?: (fault: ServerFault) => void;
  /** Pause between heartbeats of event streams. @defaultValue 15 s */
  readonly heartbeatMs?: number;
}
