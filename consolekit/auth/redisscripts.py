"""Auth: what runs inside Redis. Lua that moves data; the rules of a token's life stay in ``auth.life``.

A script is the one thing in Redis that looks and writes as one step. Each gets the base of all names as its
only key: the base holds the hash tag, so that everything lies in one slot of a cluster.

Names below the base::

    grant:HASH            a hash: number, grant, life, and the names it is found by (id, server, subject)
    ends                  token hashes by the instant from which their grants may be forgotten
    id:* server:* subject:*   token hashes by the instant of issue
    head, orders          the newest order's number; orders by number
    orders:until          the same by when they are forgotten
    sessions, owners      what each owner has said last; owners by when they count as gone
    schema, grants        version of this layout; how many grants there ever were
"""

from __future__ import annotations

import hashlib
from typing import Final

import attrs

SCHEMA_VERSION: Final = "1"


@attrs.frozen
class Script:
    """A Lua script and the name under which Redis remembers it."""

    text: str
    sha: str = attrs.field(init=False)

    @sha.default
    def _sha_of_text(self) -> str:
        # SHA-1 is how EVALSHA names a script, not a protection
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


# A sorted set lives at least as long as what it has last been given
_KEEP: Final = """
local function keep(key, milliseconds)
  if redis.call('PTTL', key) < tonumber(milliseconds) then redis.call('PEXPIRE', key, milliseconds) end
end
"""

_FORGET: Final = """
local function forget(base, hash)
  local key = base .. ':grant:' .. hash
  local kept = redis.call('HMGET', key, 'grant', 'life', 'id', 'server', 'subject')
  redis.call('DEL', key)
  redis.call('ZREM', base .. ':ends', hash)
  for place, name in ipairs({'id', 'server', 'subject'}) do
    if kept[place + 2] then redis.call('ZREM', base .. ':' .. name .. ':' .. kept[place + 2], hash) end
  end
  return kept
end
"""

PUT: Final = Script(
    _KEEP
    + f"""
local base, hash, grant, life, id, server, subject, issued_at, ends, ttl = KEYS[1], unpack(ARGV)
local key = base .. ':grant:' .. hash
if redis.call('EXISTS', key) == 1 then return 0 end
redis.call('SETNX', base .. ':schema', '{SCHEMA_VERSION}')
local number = redis.call('INCR', base .. ':grants')
redis.call('HSET', key, 'number', number, 'grant', grant, 'life', life,
  'id', id, 'server', server, 'subject', subject)
redis.call('PEXPIRE', key, ttl)
redis.call('ZADD', base .. ':ends', ends, hash)
keep(base .. ':ends', ttl)
for name, value in pairs({{id = id, server = server, subject = subject}}) do
  redis.call('ZADD', base .. ':' .. name .. ':' .. value, issued_at, hash)
  keep(base .. ':' .. name .. ':' .. value, ttl)
end
return 1
"""
)
"""ARGV: token hash, grant, life, three names, issued_at, ends, ttl (ms). 0 if the hash is already there."""

REPLACE: Final = Script(
    _KEEP
    + """
local base, hash, number, old, new, ends, ttl = KEYS[1], unpack(ARGV)
local key = base .. ':grant:' .. hash
local kept = redis.call('HMGET', key, 'number', 'life', 'id', 'server', 'subject')
if kept[1] ~= number or kept[2] ~= old then return 0 end
redis.call('HSET', key, 'life', new)
redis.call('PEXPIRE', key, ttl)
redis.call('ZADD', base .. ':ends', ends, hash)
keep(base .. ':ends', ttl)
for place, name in ipairs({'id', 'server', 'subject'}) do
  keep(base .. ':' .. name .. ':' .. kept[place + 2], ttl)
end
return 1
"""
)
"""ARGV: token hash, number and life as they were read, new life, ends, ttl (ms). 0 if they are others now."""

READ: Final = Script("""
local found = {}
for _, hash in ipairs(ARGV) do
  local kept = redis.call('HMGET', KEYS[1] .. ':grant:' .. hash, 'number', 'grant', 'life')
  if kept[1] then found[#found + 1] = {hash, kept[1], kept[2], kept[3]} end
end
return found
""")
"""ARGV: token hashes. Hash, number, grant and life of each that is there."""

# PUBLISH first: where the user may not, nothing is written. Nobody reads before the script has ended.
# A number is the server's time where that is ahead: after a failover that lost orders, or a FLUSHALL, the
# numbers that readers have seen do not come again.
REVOKE: Final = Script(
    _KEEP
    + _FORGET
    + """
local base, order, forgotten, ttl, at = KEYS[1], unpack(ARGV, 1, 4)
local time = redis.call('TIME')
local after = tonumber(redis.call('GET', base .. ':head') or '0') + 1
local number = string.format('%.0f', math.max(after, time[1] * 1000000 + time[2]))
redis.call('PUBLISH', base .. ':news', number)
redis.call('SET', base .. ':head', number)
redis.call('ZADD', base .. ':orders', number, number .. ' ' .. order)
redis.call('ZADD', base .. ':orders:until', forgotten, number .. ' ' .. order)
keep(base .. ':orders', ttl)
keep(base .. ':orders:until', ttl)
local gone = {}
for place = 5, #ARGV do
  local index = base .. ':' .. ARGV[place]
  for _, hash in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', at)) do
    local kept = forget(base, hash)
    redis.call('ZREM', index, hash)
    if kept[1] then gone[#gone + 1] = {kept[1], kept[2]} end
  end
end
return gone
"""
)
"""ARGV: order, when it is forgotten, ttl (ms), its instant, indexes. Grant and life of each that went."""

NEWS: Final = Script("""
local base, after = KEYS[1], ARGV[1]
local head = redis.call('GET', base .. ':head') or '0'
if tonumber(after) > tonumber(head) then after = '0' end
return {head, redis.call('ZRANGEBYSCORE', base .. ':orders', '(' .. after, '+inf')}
""")
"""ARGV: cursor. The newest number, and what is above the cursor; all, if that is of another life."""

KEEP_SESSIONS: Final = Script(
    _KEEP
    + """
local base, owner, said, gone, ttl = KEYS[1], unpack(ARGV)
if said == '' then
  redis.call('HDEL', base .. ':sessions', owner)
  redis.call('ZREM', base .. ':owners', owner)
  return 0
end
redis.call('HSET', base .. ':sessions', owner, said)
redis.call('ZADD', base .. ':owners', gone, owner)
keep(base .. ':sessions', ttl)
keep(base .. ':owners', ttl)
return 1
"""
)
"""ARGV: owner, what it says (empty: nothing more), when it counts as gone, ttl (ms)."""

PURGE: Final = Script(
    _FORGET
    + """
local base, now, most = KEYS[1], ARGV[1], ARGV[2]
local full = 0
local function past(name)
  local found = redis.call('ZRANGEBYSCORE', base .. name, '-inf', now, 'LIMIT', 0, most)
  if #found >= tonumber(most) then full = 1 end
  return found
end
local went = 0
for _, hash in ipairs(past(':ends')) do
  if forget(base, hash)[1] then went = went + 1 end
end
for _, order in ipairs(past(':orders:until')) do
  redis.call('ZREM', base .. ':orders', order)
  redis.call('ZREM', base .. ':orders:until', order)
end
for _, owner in ipairs(past(':owners')) do
  redis.call('HDEL', base .. ':sessions', owner)
  redis.call('ZREM', base .. ':owners', owner)
end
return {went, full}
"""
)
"""ARGV: now, how many of each at most. How many grants went, and 1 if there is more to do."""
