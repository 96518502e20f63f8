#!lua name=freshgrid_2

-- A viewer's value is a revision (4 bytes, big-endian), then the encoded state: a header of 29
-- bytes, places in the log (9 bytes each), two action logs and the rest. See docs/contracts.md.
local HEADER = '>I4Bc8HHI4HI4c6'
local HEADER_BYTES = 33
local SCHEMA = 2

-- How many records there are, or nil where they cannot simply be put in front of an action log: the oldest
-- of them is not newer than the action log's newest, an event of theirs is known, or the action log is full.
-- The action log stands in `value` at `from`. See models/viewers/action_log.py for what a record looks like.
local function fits(records, value, from, bytes, size, most)
  local find, sub, byte = string.find, string.sub, string.byte
  local at, count, oldest = 1, 0, 1
  while at <= #records do
    -- A key found behind the action log or across records is a coincidence, and only costs a fold.
    if bytes > 0 and find(value, sub(records, at + 7, at + 14), from, true) then return nil end
    count = count + 1
    oldest = at
    local media, author = byte(records, at + 15, at + 16)
    at = at + 17 + media + author
  end
  if size + count > most then return nil end
  if bytes > 0 and count > 0 then
    local ts, flags = struct.unpack('>I6B', records, oldest)
    local newest_ts, newest_flags = struct.unpack('>I6B', value, from)
    if ts < newest_ts or ts == newest_ts and flags <= newest_flags then return nil end
  end
  return count
end

-- Places in the log with those of a slice taken in, or nil where the slice is not all new.
-- A place is 3 bytes. In `slice` each is followed by the first offset and the one after the last (6
-- bytes each), in `places` by the next offset to apply.
local function advance(places, slice)
  local sub = string.sub
  for at = 1, #slice, 15 do
    local place, following = sub(slice, at, at + 2), sub(slice, at + 9, at + 14)
    local found
    for known = 1, #places, 9 do
      if sub(places, known, known + 2) == place then
        found = known
        break
      end
    end
    if not found then
      places = places .. place .. following
    elseif struct.unpack('>I6', slice, at + 3) < struct.unpack('>I6', places, found + 3) then
      return nil
    else
      places = sub(places, 1, found + 2) .. following .. sub(places, found + 9)
    end
  end
  return places
end

-- The value of a viewer (or false) with a slice put on top, or nil where that cannot be done.
-- Arguments are those of append. Raises an error for a value that is no viewer state.
local function on_top(value, args)
  local log, strong, views = args[2], args[4], args[5]
  local revision, sent, places = 0, '\0\0\0\0\0\0', ''
  local strong_at, strong_bytes, strong_size, views_at, views_bytes, views_size = 1, 0, 0, 1, 0, 0
  if value then
    local schema, known_log, count
    revision, schema, known_log, count, strong_size, strong_bytes, views_size, views_bytes, sent =
      struct.unpack(HEADER, value)
    if schema ~= SCHEMA or known_log ~= log then return nil end
    strong_at = HEADER_BYTES + 1 + 9 * count
    views_at = strong_at + strong_bytes
    if #value < views_at + views_bytes - 1 then return nil end
    places = string.sub(value, HEADER_BYTES + 1, strong_at - 1)
  end
  places = advance(places, args[3])
  local more_strong = places
    and fits(strong, value, strong_at, strong_bytes, strong_size, tonumber(args[6]))
  local more_views = more_strong
    and fits(views, value, views_at, views_bytes, views_size, tonumber(args[7]))
  if not more_views then return nil end
  local header = struct.pack(HEADER, (revision + 1) % 4294967296, SCHEMA, log, #places / 9,
    strong_size + more_strong, strong_bytes + #strong, views_size + more_views,
    views_bytes + #views, sent)
  if not value then return header .. places .. strong .. views end
  return header .. places .. strong .. string.sub(value, strong_at, views_at - 1) .. views
    .. string.sub(value, views_at)
end

-- What a key holds: a string, false where there is nothing, and of any other type what DUMP says of it.
-- Somebody wrote that there; it is no viewer state, whatever its bytes are, and is set aside as such.
local function held(key)
  local value = redis.pcall('GET', key)
  if type(value) == 'table' and value.err then return redis.call('DUMP', key), true end
  return value, false
end

-- keys: any one
-- Returns its string, nothing where there is none, or a list of one dump where it is of another type.
local function told(keys)
  local value, other = held(keys[1])
  if other then return {value} end
  return value
end
redis.register_function{function_name = 'freshgrid_2_held', callback = told, flags = {'no-writes'}}

-- keys: viewer
-- args: time to live in seconds, log, places of the slice, its strong records and its views, each
--       newest first and without two of one event, most records of each action log
-- Returns false when the records were put in front of the viewer's action logs, else the value there is
-- ('' when there is none): the caller folds and commits.
redis.register_function('freshgrid_2_append', function(keys, args)
  local value, other = held(keys[1])
  -- A damaged value of one viewer is the caller's to deal with, and no error for the whole batch.
  if other then return value end
  local whole, changed = pcall(on_top, value, args)
  if not (whole and changed) then return value or '' end
  redis.call('SET', keys[1], changed, 'EX', args[1])
  return false
end)

-- Compare and set, for what needs a real fold: it runs in the caller, and its result is stored only
-- if nobody wrote in between.
-- keys: viewer   args: revision read (or ''), new value, time to live in seconds
-- Returns false when written, else the value that is there now ('' when there is none).
redis.register_function('freshgrid_2_commit', function(keys, args)
  if redis.pcall('GETRANGE', keys[1], 0, 3) ~= args[1] then
    return held(keys[1]) or ''
  end
  redis.call('SET', keys[1], args[2], 'EX', args[3])
  return false
end)

-- keys: viewer, where damaged values go   args: the damaged value, time to live in seconds
redis.register_function('freshgrid_2_set_aside', function(keys, args)
  if held(keys[1]) ~= args[1] then return end
  redis.call('SET', keys[2], args[1], 'EX', args[2])
  redis.call('DEL', keys[1])
end)

-- keys: author of a media, list of records waiting for it
-- args: record, most records per media, the record's first bytes, which say where it stands
-- What waits has no time to live: it ends with its author or with a dead letter, never by itself.
-- A record that is read again waits already: it takes no second place, and has no letter.
-- Returns the author if the media is known, else 1 (parked) or 0 (no room).
redis.register_function('freshgrid_2_park', function(keys, args)
  local author = redis.call('GET', keys[1])
  if author then return author end
  local place = args[3] or args[1]
  for _, waiting in ipairs(redis.call('LRANGE', keys[2], 0, -1)) do
    if string.sub(waiting, 1, #place) == place then return 1 end
  end
  if redis.call('LLEN', keys[2]) >= tonumber(args[2]) then return 0 end
  redis.call('RPUSH', keys[2], args[1])
  redis.call('PERSIST', keys[2])
  return 1
end)

-- keys: author of a media, list of records waiting for it
-- args: author, time to live in seconds
-- Returns the records that wait; the caller removes them once they are safe elsewhere.
redis.register_function('freshgrid_2_learn', function(keys, args)
  redis.call('SET', keys[1], args[1], 'EX', args[2])
  return redis.call('LRANGE', keys[2], 0, -1)
end)

-- keys: ready grid   args: its length, its last bytes, another grid for its place
-- Returns whether it was there and nobody had stored another one; its time to live stays.
redis.register_function('freshgrid_2_replace_grid', function(keys, args)
  if redis.call('STRLEN', keys[1]) ~= tonumber(args[1]) then return 0 end
  if redis.call('GETRANGE', keys[1], -#args[2], -1) ~= args[2] then return 0 end
  redis.call('SET', keys[1], args[3], 'KEEPTTL')
  return 1
end)

-- keys: pages of one series   args: page number from 0, page, time to live in seconds
-- Returns the page that stands at that number: the first one given wins.
redis.register_function('freshgrid_2_add_page', function(keys, args)
  if redis.call('LLEN', keys[1]) == tonumber(args[1]) then
    redis.call('RPUSH', keys[1], args[2])
    redis.call('EXPIRE', keys[1], args[3])
  end
  return redis.call('LINDEX', keys[1], args[1])
end)

-- keys: schedule (sorted set)   args: now, end of the lease, most members
-- Returns members that are due; nobody else gets them before the lease ends or they are put back.
redis.register_function('freshgrid_2_lease', function(keys, args)
  local due = redis.call('ZRANGEBYSCORE', keys[1], '-inf', args[1], 'LIMIT', 0, args[3])
  for _, member in ipairs(due) do redis.call('ZADD', keys[1], args[2], member) end
  return due
end)

-- keys: schedule (sorted set)
-- args: end of the lease, then member and when it is due again ('' for never), as often as wanted
-- A member that was scheduled anew since it was leased stays as it is.
redis.register_function('freshgrid_2_release', function(keys, args)
  local lease_end = tonumber(args[1])
  for at = 2, #args, 2 do
    if tonumber(redis.call('ZSCORE', keys[1], args[at]) or '-1') == lease_end then
      if args[at + 1] == '' then
        redis.call('ZREM', keys[1], args[at])
      else
        redis.call('ZADD', keys[1], args[at + 1], args[at])
      end
    end
  end
end)

-- keys: clock   args: event time, wall-clock time, time to live in seconds
-- Keeps the newest event time of all workers, with the wall-clock time at which it was seen.
redis.register_function('freshgrid_2_clock', function(keys, args)
  local newest = tonumber(string.match(redis.call('GET', keys[1]) or '-1:', '^(-?%d+):'))
  if tonumber(args[1]) > newest then
    redis.call('SET', keys[1], args[1] .. ':' .. args[2], 'EX', args[3])
  end
end)
