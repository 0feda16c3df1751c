/**
 * Lua for {@link BullJobQueue}: each script is one atomic step. Keys lie below the prefix ARGV[1]; `<prefix>job:<id>` is a hash,
 * `<prefix>events:<id>` a list of JSON texts whose place is their number, `<prefix>jobs` all ids by number, `<prefix>leases` running ids by
 * the end of their lease, `<prefix>gate:<target>` the id that may be in the queue, `<prefix>line:<target>` who waits behind it.
 * JSON stays text here: Lua's JSON cannot tell an empty list from an empty object.
 */
const SHARED = `
local P = ARGV[1]
local function jobKey(id) return P .. 'job:' .. id end
local function nowMs() local t = redis.call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000) end
local function get(id, field) return redis.call('HGET', jobKey(id), field) or '' end
local function append(id, event) return redis.call('RPUSH', P .. 'events:' .. id, event) end
local function isOpen(state) return state == 'queued' or state == 'running' or state == 'cancelling' end
-- Ends or requeues: the lease goes, the next of the target may enter the queue.
local function release(id) redis.call('ZREM', P .. 'leases', id); redis.call('HSET', jobKey(id), 'lease_owner', '', 'lease_until', '') end
local function pass(id)
  local target = get(id, 'target')
  if target == '' then return '' end
  local gate = P .. 'gate:' .. target
  if redis.call('GET', gate) ~= id then redis.call('ZREM', P .. 'line:' .. target, id); return '' end
  local nextId = redis.call('ZPOPMIN', P .. 'line:' .. target)[1]
  if nextId then redis.call('SET', gate, nextId) else redis.call('DEL', gate) end
  return nextId or ''
end
local function finish(id, state, at, keepMs)
  release(id)
  redis.call('HSET', jobKey(id), 'state', state, 'finished_at', at)
  redis.call('PEXPIRE', P .. 'events:' .. id, keepMs)
  return pass(id)
end
-- Enters the target's line. Returns 1 when the job may go into the queue now.
local function enter(id)
  local target = get(id, 'target')
  if target == '' then return 1 end
  local gate = P .. 'gate:' .. target
  if redis.call('SET', gate, id, 'NX') then return 1 end
  if redis.call('GET', gate) == id then return 1 end
  redis.call('ZADD', P .. 'line:' .. target, -tonumber(get(id, 'priority')) * 1e10 + tonumber(get(id, 'order')), id)
  return 0
end
`;

export const SCRIPTS = {
  /** ARGV: prefix, id, target, ifActive, maxQueued, event, field, value, ... Returns {"new", mayGo} | {"open", id} | {"full"}. */
  enqueue: `${SHARED}
local id, target, ifActive = ARGV[2], ARGV[3], ARGV[4]
if target ~= '' and ifActive ~= 'queue' then
  local open = redis.call('GET', P .. 'gate:' .. target)
  if open then return {'open', open} end
end
if redis.call('SCARD', P .. 'queued') >= tonumber(ARGV[5]) then return {'full', ''} end
local seq = redis.call('INCR', P .. 'seq')
redis.call('HSET', jobKey(id), 'seq', seq, 'order', seq, unpack(ARGV, 7))
redis.call('ZADD', P .. 'jobs', seq, id)
redis.call('SADD', P .. 'queued', id)
append(id, ARGV[6])
return {'new', tostring(enter(id))}`,

  /** ARGV: prefix, id, owner, leaseMs, at, statusEvent, expiredEvent. Returns the fence, "drop" (nothing to do any more) or "busy". */
  claim: `${SHARED}
local id = ARGV[2]
local state = get(id, 'state')
if state == 'running' or state == 'cancelling' then
  if tonumber(get(id, 'lease_until')) > nowMs() then return 'busy' end
  if state == 'cancelling' or tonumber(get(id, 'attempts')) >= tonumber(get(id, 'max_attempts')) then return 'drop' end
  append(id, ARGV[7])
elseif state ~= 'queued' then return 'drop' end
redis.call('SREM', P .. 'queued', id)
local untilMs = nowMs() + tonumber(ARGV[4])
redis.call('ZADD', P .. 'leases', untilMs, id)
redis.call('HINCRBY', jobKey(id), 'attempts', 1)
redis.call('HSET', jobKey(id), 'state', 'running', 'lease_owner', ARGV[3], 'lease_until', untilMs)
redis.call('HSETNX', jobKey(id), 'started_at', ARGV[5])
append(id, ARGV[6])
return tostring(redis.call('HINCRBY', jobKey(id), 'fence', 1))`,

  /**
   * A write under a lease. ARGV: prefix, id, owner, fence, action, ... Returns "stale" or the action's answer:
   * heartbeat leaseMs -> state; write event field value ... -> "ok"; end state at event keepMs field value ... -> "next:<id>";
   * requeue event attemptsBack -> "ok"
   */
  held: `${SHARED}
local id, action = ARGV[2], ARGV[5]
local state = get(id, 'state')
if get(id, 'fence') ~= ARGV[4] or get(id, 'lease_owner') ~= ARGV[3] or not (state == 'running' or state == 'cancelling') then return 'stale' end
if action == 'heartbeat' then
  local untilMs = nowMs() + tonumber(ARGV[6])
  redis.call('ZADD', P .. 'leases', untilMs, id)
  redis.call('HSET', jobKey(id), 'lease_until', untilMs)
  return state
elseif action == 'write' then
  if ARGV[6] ~= '' then append(id, ARGV[6]) end
  if #ARGV > 6 then redis.call('HSET', jobKey(id), unpack(ARGV, 7)) end
  return 'ok'
elseif action == 'end' then
  append(id, ARGV[8])
  if #ARGV > 9 then redis.call('HSET', jobKey(id), unpack(ARGV, 10)) end
  return 'next:' .. finish(id, ARGV[6], ARGV[7], ARGV[9])
else
  release(id)
  append(id, ARGV[6])
  redis.call('HSET', jobKey(id), 'state', 'queued')
  redis.call('HINCRBY', jobKey(id), 'attempts', 0 - tonumber(ARGV[7]))
  redis.call('SADD', P .. 'queued', id)
  return 'ok'
end`,

  /** ARGV: prefix, id, at, cancelledEvent, cancellingEvent, keepMs. Returns {was, next}. */
  cancel: `${SHARED}
local id = ARGV[2]
local state = get(id, 'state')
if state == 'queued' then
  redis.call('SREM', P .. 'queued', id)
  append(id, ARGV[4])
  return {state, finish(id, 'cancelled', ARGV[3], ARGV[6])}
elseif state == 'running' then
  append(id, ARGV[5])
  redis.call('HSET', jobKey(id), 'state', 'cancelling')
end
return {state, ''}`,

  /** ARGV: prefix, id, event. Returns {was, mayGo}. */
  resume: `${SHARED}
local id = ARGV[2]
local state = get(id, 'state')
if isOpen(state) or state == 'succeeded' or state == '' then return {state, ''} end
redis.call('HSET', jobKey(id), 'state', 'queued', 'attempts', 0, 'error', '', 'finished_at', '', 'order', redis.call('INCR', P .. 'seq'))
redis.call('PERSIST', P .. 'events:' .. id)
redis.call('SADD', P .. 'queued', id)
append(id, ARGV[3])
return {state, tostring(enter(id))}`,

  /**
   * What expired leases left. ARGV: prefix, at, keepMs, cancelledEvent, queuedEvent, failedEvent, error.
   * Returns triples: id, new state, next id of the target.
   */
  expire: `${SHARED}
local out = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', '(' .. nowMs())) do
  local state = get(id, 'state')
  if state == 'cancelling' then
    append(id, ARGV[4])
    local nextId = finish(id, 'cancelled', ARGV[2], ARGV[3])
    for _, part in ipairs({id, 'cancelled', nextId}) do table.insert(out, part) end
  elseif tonumber(get(id, 'attempts')) >= tonumber(get(id, 'max_attempts')) then
    redis.call('HSET', jobKey(id), 'error', (string.gsub(ARGV[7], '%%ATTEMPTS%%', get(id, 'attempts'))))
    append(id, (string.gsub(ARGV[6], '%%ATTEMPTS%%', get(id, 'attempts'))))
    local nextId = finish(id, 'failed', ARGV[2], ARGV[3])
    for _, part in ipairs({id, 'failed', nextId}) do table.insert(out, part) end
  else
    release(id)
    append(id, ARGV[5])
    redis.call('HSET', jobKey(id), 'state', 'queued')
    redis.call('SADD', P .. 'queued', id)
    for _, part in ipairs({id, 'queued', ''}) do table.insert(out, part) end
  end
end
return out`,
} as const;
