\i ../../../demo/ab_user.sql
