# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Lua scripts that keep a region's books: each is atomic and touches the keys of one slot only.

KEYS of a region's books: index (ZSET: entry -> time of expiry), usage (ZSET: entry -> score of the eviction policy),
meta (HASH: entry -> [bytes, tag...], and under the empty name the sum of the bytes).
"""

from __future__ import annotations

# A region's definition: KEYS[1] the hash of regions; ARGV name, JSON of what to set, 'immutable' or ''.
# Answers {} (unknown), {before} (refused) or {before, after}.
UPDATE_REGION = """
local before = redis.call('HGET', KEYS[1], ARGV[1])
if not before then return {} end
local old, new = cjson.decode(before), cjson.decode(ARGV[2])
if ARGV[3] == 'immutable' and new.evictionPolicy and new.evictionPolicy ~= old.evictionPolicy then return {before} end
for field, value in pairs(old) do
  if new[field] == nil then new[field] = value end
end
local after = cjson.encode(new)
redis.call('HSET', KEYS[1], ARGV[1], after)
return {before, after}
"""

# All definitions as one JSON array: one answer to parse instead of a thousand.
ALL_REGIONS = """
return '[' .. table.concat(redis.call('HVALS', KEYS[1]), ',') .. ']'
"""

_FORGET = """
local function forget(entry)
  local meta = redis.call('HGET', KEYS[3], entry)
  if not meta then return false end
  redis.call('ZREM', KEYS[1], entry)
  redis.call('ZREM', KEYS[2], entry)
  redis.call('HDEL', KEYS[3], entry)
  redis.call('HINCRBY', KEYS[3], '', -cjson.decode(meta)[1])
  return meta
end
local function forget_expired(now, spared)
  local gone = {}
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1000)) do
    if entry ~= spared then
      gone[#gone + 1] = entry
      gone[#gone + 1] = forget(entry) or '[0]'
    end
  end
  return gone
end
local function evict(size, spared)
  local gone = {}
  local excess = redis.call('ZCARD', KEYS[1]) - size
  if excess > 0 then
    for _, entry in ipairs(redis.call('ZRANGE', KEYS[2], 0, excess)) do
      if entry ~= spared and #gone < 2 * excess then
        gone[#gone + 1] = entry
        gone[#gone + 1] = forget(entry) or '[0]'
      end
    end
  end
  return gone
end
"""

# ARGV entry, expiry, now, meta, policy, maximum size.
# Answers the former meta, how many other entries had expired, then those and the evicted ones, each with its meta.
PUT = _FORGET + """
local entry, policy = ARGV[1], ARGV[5]
local gone = forget_expired(ARGV[3], entry)
local expired = #gone / 2
local former = redis.call('HGET', KEYS[3], entry)
local bytes = cjson.decode(ARGV[4])[1]
if former then bytes = bytes - cjson.decode(former)[1] end
redis.call('HSET', KEYS[3], entry, ARGV[4])
redis.call('HINCRBY', KEYS[3], '', bytes)
redis.call('ZADD', KEYS[1], ARGV[2], entry)
if policy == 'LRU' then redis.call('ZADD', KEYS[2], ARGV[3], entry)
elseif policy == 'LFU' then redis.call('ZINCRBY', KEYS[2], 1, entry)
else redis.call('ZADD', KEYS[2], 'NX', ARGV[3], entry) end
for _, item in ipairs(evict(tonumber(ARGV[6]), entry)) do gone[#gone + 1] = item end
table.insert(gone, 1, expired)
table.insert(gone, 1, former or '')
return gone
"""

# ARGV expiry, now, policy, maximum size, then entry and meta of each.
# Answers three lists of entry and meta: what was replaced, what had expired, what was evicted.
PUT_MANY = _FORGET + """
local expired, formers = forget_expired(ARGV[2], nil), {}
for at = 5, #ARGV, 2 do
  local entry = ARGV[at]
  local former = redis.call('HGET', KEYS[3], entry)
  local bytes = cjson.decode(ARGV[at + 1])[1]
  if former then
    bytes = bytes - cjson.decode(former)[1]
    formers[#formers + 1] = entry
    formers[#formers + 1] = former
  end
  redis.call('HSET', KEYS[3], entry, ARGV[at + 1])
  redis.call('HINCRBY', KEYS[3], '', bytes)
  redis.call('ZADD', KEYS[1], ARGV[1], entry)
  if ARGV[3] == 'LRU' then redis.call('ZADD', KEYS[2], ARGV[2], entry)
  elseif ARGV[3] == 'LFU' then redis.call('ZINCRBY', KEYS[2], 1, entry)
  else redis.call('ZADD', KEYS[2], 'NX', ARGV[2], entry) end
end
return {formers, expired, evict(tonumber(ARGV[4]), nil)}
"""

# ARGV entry, meta. The entry's value was written anew; its time to live and its place stay.
RESIZE = """
local former = redis.call('HGET', KEYS[3], ARGV[1])
if not former then return 0 end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[3], '', cjson.decode(ARGV[2])[1] - cjson.decode(former)[1])
return 1
"""

# KEYS[1] the usage of a region: halves every count.
AGE = """
local uses = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for at = 1, #uses, 2 do redis.call('ZADD', KEYS[1], math.floor(uses[at + 1] / 2), uses[at]) end
return #uses / 2
"""

# KEYS[1] an entry; ARGV its value and the one to put there if it still has that.
REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
"""

# Warm jobs: KEYS[1] the hash of jobs by region.
# ARGV region, job, now, milliseconds after which a silent job counts as dead. Answers 1 if the job is taken.
CLAIM_JOB = """
local text = redis.call('HGET', KEYS[1], ARGV[1])
if text then
  local job = cjson.decode(text)
  if job.id == cjson.decode(ARGV[2]).id then return 1 end
  local active = job.status == 'QUEUED' or job.status == 'RUNNING'
  if active and tonumber(ARGV[3]) - job.beat < tonumber(ARGV[4]) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""

# ARGV region, id, JSON of the fields to set. Answers the job's status: after a cancellation only counts are taken over.
REPORT_JOB = """
local text = redis.call('HGET', KEYS[1], ARGV[1])
if not text then return 'GONE' end
local job, changes = cjson.decode(text), cjson.decode(ARGV[3])
if job.id ~= ARGV[2] then return 'GONE' end
if job.status == 'QUEUED' or job.status == 'RUNNING' then
  for field, value in pairs(changes) do job[field] = value end
else
  job.loaded, job.failed = changes.loaded, changes.failed
end
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(job))
return job.status
"""

# ARGV region, now, milliseconds of silence, JSON of the fields to set. Answers the job, or nothing if none runs.
CANCEL_JOB = """
local text = redis.call('HGET', KEYS[1], ARGV[1])
if not text then return false end
local job = cjson.decode(text)
local active = job.status == 'QUEUED' or job.status == 'RUNNING'
if not active or tonumber(ARGV[2]) - job.beat >= tonumber(ARGV[3]) then return false end
for field, value in pairs(cjson.decode(ARGV[4])) do job[field] = value end
local after = cjson.encode(job)
redis.call('HSET', KEYS[1], ARGV[1], after)
return after
"""

# ARGV maximum size. Answers the evicted entries and their meta.
SHRINK = _FORGET + """
return evict(tonumber(ARGV[1]), nil)
"""

# ARGV entries. Answers entry and meta for each that was known.
FORGET = _FORGET + """
local gone = {}
for _, entry in ipairs(ARGV) do
  local meta = forget(entry)
  if meta then
    gone[#gone + 1] = entry
    gone[#gone + 1] = meta
  end
end
return gone
"""

# ARGV now. Answers {entries, bytes, expired entries still in the books}. It is short: a list sends it for each region.
MEASURE = """
local now = ARGV[1]
return {redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf'), tonumber(redis.call('HGET', KEYS[3], '') or 0),
  redis.call('ZCOUNT', KEYS[1], '-inf', now)}
"""

# ARGV now. Takes what has expired out of the books. Answers {entries, bytes, {expired entry, its meta, ...}}.
SETTLE = (
    _FORGET
    + """
local gone = forget_expired(ARGV[1], nil)
return {redis.call('ZCARD', KEYS[1]), tonumber(redis.call('HGET', KEYS[3], '') or 0), gone}
"""
)
