-- What push.py needs in the database. Run once by the database's owner. Its role is made before (createuser push).

-- The events that the receiver has taken, or that it never will. Delete a row, and its event is posted again.
CREATE TABLE push_delivery (
    id             bigint      NOT NULL,
    transaction_id xid8        NOT NULL,
    at             timestamptz NOT NULL DEFAULT now(),
    refused        text,       -- why; NULL: taken
    PRIMARY KEY (id, transaction_id)
);

GRANT SELECT, INSERT, DELETE ON push_delivery TO push;
GRANT USAGE ON SCHEMA session_guard TO push;
GRANT SELECT (id, at, transaction_id) ON session_guard.event TO push;
GRANT EXECUTE ON FUNCTION session_guard.security_event(bigint) TO push;

-- Without this, all events that are there are posted first:
-- INSERT INTO push_delivery (id, transaction_id) SELECT id, transaction_id FROM session_guard.event;
