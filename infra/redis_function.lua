#!lua name=freshgrid_2

-- A viewer's value is a revision (4 bytes, big-endian), then the encoded state: a header of 29
-- bytes, places in the log (9 bytes each), two lanes and the rest. See docs/contracts.md.
local HEADER = '>c4Bc8HHI4HI4c6'
local HEADER_BYTES = 33
local SCHEMA = 2

-- A lane with new records in front, or nil where that needs a real fold: a record is not newer
-- than the newest one, its event is known, or the lane is full.
-- Records and lane are newest first; see models/lanes.py.
local function stack(lane, size, records, most)
  local starts, at, count = {}, 1, 0
  while at <= #records do
    count = count + 1
    starts[count] = at
    local media, author = string.byte(records, at + 15, at + 16)
    at = at + 17 + media + author
  end
  if size + count > most then return nil end
  for i = count, 1, -1 do
    local at = starts[i]
    if #lane > 0 then
      local ts, flags = struct.unpack('>I6B', records, at)
      local newest_ts, newest_flags = struct.unpack('>I6B', lane)
      if ts < newest_ts or ts == newest_ts and flags <= newest_flags then return nil end
      if string.find(lane, string.sub(records, at + 7, at + 14), 1, true) then return nil end
    end
    lane = string.sub(records, at, (starts[i + 1] or #records + 1) - 1) .. lane
  end
  return lane, size + count
end

-- keys: viewer
-- args: time to live in seconds, log, places, new strong records, new views, most of each
-- A place is 3 bytes; in `places` each is followed by the first offset of the slice and the next
-- one after it, 6 bytes each; in the state by the next offset to apply.
-- Returns false when the records were put in front of the viewer's lanes, else the value there is
-- ('' when there is none): the caller folds and commits.
redis.register_function('freshgrid_2_append', function(keys, args)
  local log = args[2]
  local value = redis.call('GET', keys[1])
  local revision, sent, rest = 0, '\0\0\0\0\0\0', ''
  local places, strong, views, strong_size, views_size = '', '', '', 0, 0
  if value then
    local head, schema, known_log, count, strong_bytes, views_bytes
    head, schema, known_log, count, strong_size, strong_bytes, views_size, views_bytes, sent =
      struct.unpack(HEADER, value)
    if schema ~= SCHEMA or known_log ~= log then return value end
    revision = struct.unpack('>I4', head)
    local at = HEADER_BYTES + 1
    places = string.sub(value, at, at + 9 * count - 1)
    at = at + 9 * count
    strong = string.sub(value, at, at + strong_bytes - 1)
    at = at + strong_bytes
    views = string.sub(value, at, at + views_bytes - 1)
    rest = string.sub(value, at + views_bytes)
  end
  for at = 1, #args[3], 15 do
    local place = string.sub(args[3], at, at + 2)
    local following = string.sub(args[3], at + 9, at + 14)
    local found
    for known = 1, #places, 9 do
      if string.sub(places, known, known + 2) == place then
        found = known
        break
      end
    end
    if found then
      if struct.unpack('>I6', args[3], at + 3) < struct.unpack('>I6', places, found + 3) then
        return value
      end
      places = string.sub(places, 1, found + 2) .. following .. string.sub(places, found + 9)
    else
      places = places .. place .. following
    end
  end
  strong, strong_size = stack(strong, strong_size, args[4], tonumber(args[6]))
  if not strong then return value or '' end
  views, views_size = stack(views, views_size, args[5], tonumber(args[7]))
  if not views then return value or '' end
  redis.call('SET', keys[1], struct.pack(HEADER,
    struct.pack('>I4', (revision + 1) % 4294967296), SCHEMA, log, #places / 9,
    strong_size, #strong, views_size, #views, sent
  ) .. places .. strong .. views .. rest, 'EX', args[1])
  return false
end)

-- Compare and set, for what needs a real fold: it runs in the caller, and its result is stored only
-- if nobody wrote in between.
-- keys: viewer   args: revision read (or ''), new value, time to live in seconds
-- Returns false when written, else the value that is there now ('' when there is none).
redis.register_function('freshgrid_2_commit', function(keys, args)
  if redis.call('GETRANGE', keys[1], 0, 3) ~= args[1] then
    return redis.call('GET', keys[1]) or ''
  end
  redis.call('SET', keys[1], args[2], 'EX', args[3])
  return false
end)

-- keys: author of a media, list of records waiting for it
-- args: record, most records per media, time to live in seconds
-- Returns the author if the media is known, else 1 (parked) or 0 (no room).
redis.register_function('freshgrid_2_park', function(keys, args)
  local author = redis.call('GET', keys[1])
  if author then return author end
  if redis.call('LLEN', keys[2]) >= tonumber(args[2]) then return 0 end
  redis.call('RPUSH', keys[2], args[1])
  redis.call('EXPIRE', keys[2], args[3])
  return 1
end)

-- keys: author of a media, list of records waiting for it
-- args: author, time to live in seconds
-- Returns the records that wait; the caller removes them once they are safe elsewhere.
redis.register_function('freshgrid_2_learn', function(keys, args)
  redis.call('SET', keys[1], args[1], 'EX', args[2])
  return redis.call('LRANGE', keys[2], 0, -1)
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

-- keys: schedule (sorted set)   args: end of the lease, member, when it is due again ('' for never)
-- A member that was scheduled anew since it was leased stays as it is.
redis.register_function('freshgrid_2_release', function(keys, args)
  if tonumber(redis.call('ZSCORE', keys[1], args[2]) or '-1') ~= tonumber(args[1]) then return end
  if args[3] == '' then
    redis.call('ZREM', keys[1], args[2])
  else
    redis.call('ZADD', keys[1], args[3], args[2])
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
