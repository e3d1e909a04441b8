-- What a skilled hand would write instead: a table of epochs that triggers keep, and the check as a function.
CREATE TABLE rival_epoch (user_id int PRIMARY KEY, epoch timestamptz NOT NULL);
CREATE FUNCTION rival_stamp() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    stamp CONSTANT timestamptz := date_trunc('second', clock_timestamp()) + interval '1 second';
BEGIN
    INSERT INTO rival_epoch AS e VALUES (coalesce(NEW.id, OLD.id), stamp)
    ON CONFLICT (user_id) DO UPDATE SET epoch = greatest(EXCLUDED.epoch, e.epoch + interval '1 second');
    RETURN NULL;
END $$;
CREATE TRIGGER rival_update AFTER UPDATE ON rival_user FOR EACH ROW
    WHEN (OLD.active IS DISTINCT FROM NEW.active OR OLD.id IS DISTINCT FROM NEW.id) EXECUTE FUNCTION rival_stamp();
CREATE TRIGGER rival_delete AFTER DELETE ON rival_user FOR EACH ROW EXECUTE FUNCTION rival_stamp();

-- PostgreSQL inlines no function that reads a table: it is called for each user.
CREATE FUNCTION rival_sql(who bigint, login_at timestamptz) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce((
        SELECT u.active AND (e.epoch IS NULL OR login_at >= e.epoch) AND login_at <= clock_timestamp() + interval '10 s'
        FROM rival_user u LEFT JOIN rival_epoch e ON e.user_id = u.id WHERE u.id = who), false)
$$;
CREATE FUNCTION rival_plpgsql(who bigint, login_at timestamptz) RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    is_valid boolean;
BEGIN
    SELECT u.active AND (e.epoch IS NULL OR login_at >= e.epoch) INTO is_valid
    FROM rival_user u LEFT JOIN rival_epoch e ON e.user_id = u.id WHERE u.id = who;
    RETURN coalesce(is_valid, false) AND login_at <= clock_timestamp() + interval '10 s';
END $$;
