-- The users table as Flask-AppBuilder's models make it, with some users.
CREATE TABLE ab_user (
    id               serial PRIMARY KEY,
    first_name       varchar(64)  NOT NULL,
    last_name        varchar(64)  NOT NULL,
    username         varchar(64)  NOT NULL UNIQUE,
    password         varchar(256),
    active           boolean,
    email            varchar(320) NOT NULL UNIQUE,
    last_login       timestamp,
    login_count      integer,
    fail_login_count integer,
    created_on       timestamp,
    changed_on       timestamp,
    created_by_fk    integer REFERENCES ab_user (id),
    changed_by_fk    integer REFERENCES ab_user (id)
);
INSERT INTO ab_user (first_name, last_name, username, active, email) VALUES
    ('Ada',    'Lovelace', 'ada',    true,  'ada@example.com'),
    ('Grace',  'Hopper',   'grace',  true,  'grace@example.com'),
    ('Mallory', 'Gone',    'mallory', false, 'mallory@example.com');
