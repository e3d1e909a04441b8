-- What a skilled hand would write instead, to the same rules: epochs of users and of everybody, kept by triggers, and the check as a
-- function.
CREATE TABLE rival_epoch (user_id int PRIMARY KEY, epoch timestamptz NOT NULL, reason text NOT NULL, stamped_at timestamptz NOT NULL);
CREATE TABLE rival_epoch_of_all (epoch timestamptz);
INSERT INTO rival_epoch_of_all VALUES (NULL);
CREATE FUNCTION rival_stamp() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    now     CONSTANT timestamptz := clock_timestamp();
    of_all  timestamptz;
    reason  text;
BEGIN
    SELECT epoch INTO of_all FROM rival_epoch_of_all;
    reason := CASE WHEN TG_OP = 'DELETE' THEN 'deleted' WHEN NEW.active THEN 'enabled' ELSE 'disabled' END;
    INSERT INTO rival_epoch AS e
    VALUES (coalesce(NEW.id, OLD.id), greatest(date_trunc('second', now) + interval '1 second', of_all + interval '1 millisecond'), reason, now)
    ON CONFLICT (user_id) DO UPDATE
    SET epoch = greatest(EXCLUDED.epoch, e.epoch + interval '1 millisecond'), reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at;
    RETURN NULL;
END $$;
CREATE TRIGGER rival_update AFTER UPDATE ON rival_user FOR EACH ROW
    WHEN (OLD.active IS DISTINCT FROM NEW.active OR OLD.id IS DISTINCT FROM NEW.id) EXECUTE FUNCTION rival_stamp();
CREATE TRIGGER rival_delete AFTER DELETE ON rival_user FOR EACH ROW EXECUTE FUNCTION rival_stamp();

-- PostgreSQL inlines no function that reads a table: it is called for each user.
CREATE FUNCTION rival_sql(who bigint, login_at timestamptz) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce((
        SELECT u.active AND login_at >= coalesce(greatest(e.epoch, a.epoch), login_at) AND login_at <= clock_timestamp() + interval '10 s'
        FROM rival_user u CROSS JOIN rival_epoch_of_all a LEFT JOIN rival_epoch e ON e.user_id = u.id WHERE u.id = who), false)
$$;
CREATE FUNCTION rival_plpgsql(who bigint, login_at timestamptz) RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    is_valid boolean;
BEGIN
    SELECT u.active AND login_at >= coalesce(greatest(e.epoch, a.epoch), login_at) INTO is_valid
    FROM rival_user u CROSS JOIN rival_epoch_of_all a LEFT JOIN rival_epoch e ON e.user_id = u.id WHERE u.id = who;
    RETURN coalesce(is_valid, false) AND login_at <= clock_timestamp() + interval '10 s';
END $$;
