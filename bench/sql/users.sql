-- Three users tables as Flask-AppBuilder makes them, with as many users each: guarded, guarded by a rival, and plain.
CREATE TABLE plain_user (
    id serial PRIMARY KEY, first_name varchar(64) NOT NULL, last_name varchar(64) NOT NULL,
    username varchar(64) UNIQUE NOT NULL, password varchar(256), active boolean, email varchar(320) UNIQUE NOT NULL,
    last_login timestamp, login_count int, fail_login_count int, created_on timestamp, changed_on timestamp
);
INSERT INTO plain_user (first_name, last_name, username, password, active, email, login_count, created_on)
SELECT 'first' || n, 'last' || n, 'user' || n, repeat(md5(n::text), 3), true, 'user' || n || '@example.com', 0, now()
FROM generate_series(1, :users) AS n;
CREATE TABLE ab_user (LIKE plain_user INCLUDING ALL);
INSERT INTO ab_user SELECT * FROM plain_user;
CREATE TABLE rival_user (LIKE plain_user INCLUDING ALL);
INSERT INTO rival_user SELECT * FROM plain_user;
