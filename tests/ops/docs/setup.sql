CREATE TABLE users (id int PRIMARY KEY, email text, active boolean, password text);
INSERT INTO users SELECT n, 'user' || n || '@example.com', n <> 3, 'hash' FROM generate_series(1, 100) AS n;
UPDATE users SET email = 'user' || id || '@partner.example' WHERE id IN (50, 51);
CREATE TABLE user_role (user_id int REFERENCES users, role text);
