/** @module Doubles for tests of code that uses the hub: servers on loopback with faults, and a clock that moves when told to. */

export { type LocalRedis, startRedis } from "../jobs/start-redis.js";
export { findOnPath, type LocalPostgres, startPostgres } from "../sql/start-postgres.js";
export { hasS3Server, type LocalS3, startS3Server } from "../stores/start-s3-server.js";
export { fakeTrainer } from "../training/fake-trainer.js";
export { type FakeHub, type FakeRepo, startFakeHub } from "./fake-hub.js";
export { ManualClock } from "./manual-clock.js";
export { type S3Double, startS3Double } from "./s3-double.js";
