-- The roles that the pages name, new for each page.
DROP ROLE IF EXISTS app, accounts, support, web, guard_monitor;
CREATE ROLE app;
CREATE ROLE accounts;
CREATE ROLE support;
