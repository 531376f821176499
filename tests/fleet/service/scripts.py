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
