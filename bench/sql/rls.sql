-- A million rows under a policy that calls the function for each.
CREATE TABLE guarded_doc AS SELECT n AS id, (1 + n % 1000)::bigint AS owner_id FROM generate_series(1, :rows) AS n;
CREATE TABLE noop_doc AS SELECT * FROM guarded_doc;
ALTER TABLE guarded_doc ENABLE ROW LEVEL SECURITY;
ALTER TABLE noop_doc ENABLE ROW LEVEL SECURITY;
CREATE POLICY live ON guarded_doc USING (session_valid(owner_id, :login::timestamptz));
CREATE POLICY live ON noop_doc USING (noop(owner_id, :login::timestamptz));
CREATE ROLE bench_reader;
GRANT SELECT ON guarded_doc, noop_doc TO bench_reader;
GRANT EXECUTE ON FUNCTION session_valid(bigint, timestamptz) TO bench_reader;
