"""The Lua scripts of the cache: Redis runs each as one step, between other clients' commands.

A value has a key, and a second key beside it, `lock_key`. That one holds the token of the worker
that loads the value, or UNCERTAIN. What was loaded is stored only if its token is still there: a
change deletes it, so that nothing older than the change is stored after it.
"""


def lock_key(key: str) -> str:
    """Return the key beside a value's key. No value has it: no key of a value has a # in it."""
    return f"{key}#lock"


# What ACQUIRE returns if there is no value.
BUSY, ACQUIRED, UNCERTAIN = 0, 1, 2

# KEYS: key, lock. ARGV: token, milliseconds of the lease.
# A lock that lives longer than a lease is none: Redis's clock was set back, and nobody renews it.
ACQUIRE = """
local value = redis.call('GET', KEYS[1])
if value then return value end
local holder = redis.call('GET', KEYS[2])
if holder == 'uncertain' then return 2 end
local left = redis.call('PTTL', KEYS[2])
if holder and left > 0 and left <= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""

# KEYS: lock. ARGV: token, milliseconds.
RENEW = """
return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

# KEYS: key, lock. ARGV: token, value or nothing, milliseconds that the value lives.
RELEASE_AND_STORE = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""

# KEYS: key, lock, and so on in pairs. ARGV: for each pair, for how many milliseconds it is
# uncertain whether the change was made. An earlier change of which that is uncertain stays so.
INVALIDATE = """
for pair = 1, #ARGV do
  local key, lock, uncertain = KEYS[2 * pair - 1], KEYS[2 * pair], tonumber(ARGV[pair])
  redis.call('DEL', key)
  if redis.call('GET', lock) == 'uncertain' then
    uncertain = math.max(uncertain, redis.call('PTTL', lock))
  end
  if uncertain > 0 then
    redis.call('SET', lock, 'uncertain', 'PX', uncertain)
  else
    redis.call('DEL', lock)
  end
end
"""
