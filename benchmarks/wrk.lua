-- Posts bodies that differ in the call's id. Arguments: file with the body, the id in it, a prefix.
local before, after, prefix, count = nil, nil, nil, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local body = file:read("*a")
  file:close()
  prefix = args[3]
  local parts, from = {}, 1
  while true do
    local first, last = body:find(args[2], from, true)
    if not first then break end
    parts[#parts + 1] = body:sub(from, first - 1)
    from = last + 1
  end
  parts[#parts + 1] = body:sub(from)
  before = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port ..
    "\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n"
  after = parts
end

function request()
  count = count + 1
  return before .. table.concat(after, string.format("%s%012x", prefix, count))
end

function done(summary, latency)
  io.write(string.format(
    '{"answered": %d, "refused": %d, "broken": %d, "seconds": %f, "p50_ms": %f, "p95_ms": %f, "p99_ms": %f}\n',
    summary.requests, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3))
end
