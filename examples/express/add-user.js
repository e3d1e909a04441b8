// Adds a user, or gives a new password to one: PASSWORD=… node add-user.js NAME
'use strict';

const bcrypt = require('bcryptjs');
const { ask } = require('./database');

async function main() {
  const { PASSWORD: password } = process.env;
  const username = process.argv[2];
  // bcrypt would cut it.
  if (!username || !password || bcrypt.truncates(password)) throw new Error('a name, and a PASSWORD of 1 to 72 bytes');
  await ask(
    `INSERT INTO users (username, password_hash) VALUES ($1, $2)
     ON CONFLICT (username) DO UPDATE SET password_hash = EXCLUDED.password_hash`,
    [username, await bcrypt.hash(password, 12)],
  );
  process.exit(); // Or the pool would keep it alive for a while.
}

main();
