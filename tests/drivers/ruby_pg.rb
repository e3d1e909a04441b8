# Ruby's pg: with a type map integers, decimals and times are sent with their types, without one all is text.
require "bigdecimal"
require "pg"
require "time"

$stdout.sync = true
CASES = "SELECT name, ask, guard, id_as, id, login_as, login FROM cases ORDER BY name, guard"
CALLS = { "session" => %w[session_verdict session_valid], "token" => %w[token_valid], "round trip" => %w[round_trip] }
DB = PG.connect
rows = DB.exec(CASES).to_a
DB.type_map_for_queries = PG::BasicTypeMapForQueries.new(DB)
DB.type_map_for_results = PG::BasicTypeMapForResults.new(DB)

def natural_id(kind, text)
  return text if text.nil?
  case kind
  when "int", "bigint" then Integer(text)
  when "numeric" then BigDecimal(text)
  else text
  end
end

def ask(way, call, arguments, naive: false)
  places = arguments.each_index.map { |n| naive && n == arguments.size - 1 ? "$#{n + 1}::timestamp" : "$#{n + 1}" }
  sql = "SELECT #{call}(#{places.join(", ")})"
  return DB.exec_params(sql, arguments).getvalue(0, 0) if way == "unprepared"
  DB.prepare("", sql)
  DB.exec_prepared("", arguments).getvalue(0, 0)
end

def valid?(user_id, login_at)
  valid = DB.exec_params("SELECT session_valid($1, $2)", [user_id, login_at]).getvalue(0, 0)
  valid
end

def round_trip(user_id)
  DB.exec_params("SELECT stamp($1)", [user_id.to_s])
  login_at = DB.exec_params("SELECT session_start($1)", [user_id]).getvalue(0, 0)
  before = valid?(user_id, login_at)
  DB.exec_params("SELECT stamp($1)", [user_id.to_s])
  "#{before} #{valid?(user_id, login_at)}"
end

def put(way, call, row)
  id = natural_id(row["id_as"], row["id"])
  return round_trip(id) if call == "round_trip"
  which = [row["guard"]].compact
  login = row["login_as"] == "aware" ? Time.iso8601(row["login"]) : row["login"]
  login = ask(way, "read_time", [row["login"]]) if row["login_as"] == "read"
  login = ask(way, "session_start", [*which, id]) if row["login_as"] == "started"
  ask(way, call, [*which, id, login], naive: row["login_as"] == "naive")
end

rows.each do |row|
  %w[prepared unprepared].each do |way|
    CALLS[row["ask"]].each do |call|
      answer = begin
        put(way, call, row)
      rescue PG::Error => error
        "error #{error.result&.error_field(PG::PG_DIAG_SQLSTATE) || "client"}"
      rescue ArgumentError, RangeError, TypeError
        "error client"
      end
      puts [row["name"], row["guard"], call, way, answer].join("\t")
    end
  end
end
