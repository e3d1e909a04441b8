// The Express example without the guard's middleware: what the tests would see if it did nothing.
'use strict';

require('../../../examples/express/session_guard').middleware = (_req, _res, next) => next();
require('../../../examples/express/app');
