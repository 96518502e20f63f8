#!lua name=freshgrid_1

-- Compare and set. A viewer's value is an 8-byte revision followed by the encoded state; the fold
-- runs in the caller, and its result is stored only if nobody wrote in between.
-- keys: viewer   args: revision read (or ''), new value, time to live in seconds
-- Returns false when written, else the value that is there now ('' when there is none).
redis.register_function('freshgrid_1_commit', function(keys, args)
  if redis.call('GETRANGE', keys[1], 0, 7) ~= args[1] then
    return redis.call('GET', keys[1]) or ''
  end
  redis.call('SET', keys[1], args[2], 'EX', args[3])
  return false
end)

-- keys: author of a media, list of records waiting for it
-- args: record, most records per media, time to live in seconds
-- Returns the author if the media is known, else 1 (parked) or 0 (no room).
redis.register_function('freshgrid_1_park', function(keys, args)
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
redis.register_function('freshgrid_1_learn', function(keys, args)
  redis.call('SET', keys[1], args[1], 'EX', args[2])
  return redis.call('LRANGE', keys[2], 0, -1)
end)

-- keys: pages of one series   args: page number from 0, page, time to live in seconds
-- Returns the page that stands at that number: the first one given wins.
redis.register_function('freshgrid_1_add_page', function(keys, args)
  if redis.call('LLEN', keys[1]) == tonumber(args[1]) then
    redis.call('RPUSH', keys[1], args[2])
    redis.call('EXPIRE', keys[1], args[3])
  end
  return redis.call('LINDEX', keys[1], args[1])
end)

-- keys: schedule (sorted set)   args: now, end of the lease, most members
-- Returns members that are due; nobody else gets them before the lease ends or they are put back.
redis.register_function('freshgrid_1_lease', function(keys, args)
  local due = redis.call('ZRANGEBYSCORE', keys[1], '-inf', args[1], 'LIMIT', 0, args[3])
  for _, member in ipairs(due) do redis.call('ZADD', keys[1], args[2], member) end
  return due
end)

-- keys: schedule (sorted set)   args: end of the lease, member, when it is due again ('' for never)
-- A member that was scheduled anew since it was leased stays as it is.
redis.register_function('freshgrid_1_release', function(keys, args)
  if tonumber(redis.call('ZSCORE', keys[1], args[2]) or '-1') ~= tonumber(args[1]) then return end
  if args[3] == '' then
    redis.call('ZREM', keys[1], args[2])
  else
    redis.call('ZADD', keys[1], args[3], args[2])
  end
end)

-- keys: clock   args: event time, wall-clock time, time to live in seconds
-- Keeps the newest event time of all workers, with the wall-clock time at which it was seen.
redis.register_function('freshgrid_1_clock', function(keys, args)
  local newest = tonumber(string.match(redis.call('GET', keys[1]) or '-1:', '^(-?%d+):'))
  if tonumber(args[1]) > newest then
    redis.call('SET', keys[1], args[1] .. ':' .. args[2], 'EX', args[3])
  end
end)
