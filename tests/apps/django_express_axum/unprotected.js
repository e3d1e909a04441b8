// The Express example with a guard that asks nothing, and reads the user: what the tests would see if it did nothing.
'use strict';

const guarded = require('pg-session-guard/express');
const { ask } = require('../../../examples/express/database');

guarded.SessionGuard = class extends guarded.SessionGuard {
  middleware = (_req, _res, next) => next();
  required = async (req, res, next) => {
    req.user = await ask('SELECT id, username FROM users WHERE id = $1', [req.session.user_id]);
    if (req.user) next();
    else res.redirect('/login');
  };
};
require('../../../examples/express/app');
