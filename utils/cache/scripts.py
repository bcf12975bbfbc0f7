"""What Redis is asked: Lua scripts, each one step between other clients' commands.

KEYS are a value's key and that of the lock beside it. A value is read, locked and stored by what a
change deletes it by: EVAL of both keys, and UNLINK. So whatever it is that Redis refuses or holds
back, a deletion that it refuses to one worker leaves nothing that others can read.
"""

# What is of another type than a text counts as not there, and is overwritten.
COMMON = """
local function text(key, last)
  if redis.call('TYPE', key).ok ~= 'string' then return '' end
  return redis.call('GETRANGE', key, 0, last)
end

local function value(last)
  local found = text(KEYS[1], last)
  if found ~= '' then redis.call('UNLINK', KEYS[2]) end
  return found
end
"""

# ARGV: the largest size of a value. Of one that is larger, so much is returned that it is no JSON.
# Beside a value is no lock that this could delete; it asks whether a deletion is refused.
READ = f"{COMMON} return value(ARGV[1])"

# What ACQUIRE returns if there is no value. UNCERTAIN: a change failed, and may still be made.
BUSY, ACQUIRED, UNCERTAIN = 0, 1, 2

# ARGV: token, milliseconds of the lease, the largest size of a value.
# A lock that lives longer than a lease is none: Redis's clock was set back, and nobody renews it.
ACQUIRE = f"""{COMMON}
local found = value(ARGV[3])
if found ~= '' then return found end
local holder = text(KEYS[2], 99)
local left = redis.call('PTTL', KEYS[2])
if holder == 'uncertain' and left > 0 then return {UNCERTAIN} end
if holder ~= '' and left > 0 and left <= tonumber(ARGV[2]) then return {BUSY} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {ACQUIRED}
"""

# ARGV: token, milliseconds of the lease.
RENEW = f"""{COMMON}
if text(KEYS[2], 99) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[2], ARGV[2])
"""

# ARGV: token, value or nothing, milliseconds that the value lives.
RELEASE_AND_STORE = f"""{COMMON}
if text(KEYS[2], 99) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[2])
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""

# KEYS: those of one value or more. ARGV: for each the milliseconds in which nothing may be stored.
# A longer such period that an earlier change began is kept.
INVALIDATE = f"""{COMMON}
for i = 1, #KEYS, 2 do
  local lock, uncertain = KEYS[i + 1], tonumber(ARGV[(i + 1) / 2])
  if text(lock, 99) == 'uncertain' then
    uncertain = math.max(uncertain, redis.call('PTTL', lock))
  end
  redis.call('UNLINK', KEYS[i])
  redis.call('UNLINK', lock)
  if uncertain > 0 then redis.call('SET', lock, 'uncertain', 'PX', uncertain) end
end
"""

# Every command of the other scripts, to find out whether Redis refuses one.
CHECK = f"""{COMMON}
redis.call('SET', KEYS[1], 'x', 'PX', 1000)
redis.call('PEXPIRE', KEYS[1], redis.call('PTTL', KEYS[1]))
value(1)
redis.call('UNLINK', KEYS[1])
"""
